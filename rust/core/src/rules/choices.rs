//! Implements [`Streaming`] for every endpoint whose answers consist of choices.

use super::assembler::Assembler;
use super::form::ChoiceForm;
use super::identity::Identity;
use super::stream::StreamNormaliser;
use super::streaming::{Asked, Assembly, StreamRules, Streaming};
use super::whole::{BodyFault, stream_of};

impl<F: ChoiceForm> Streaming for F {
    fn rules(&self, identity: Identity, asked: Asked) -> Box<dyn StreamRules> {
        Box::new(StreamNormaliser::<F>::new(identity, asked))
    }

    fn assembly(&self, identity: Identity, asked: Asked) -> Box<dyn Assembly> {
        Box::new(Assembler::<F>::new(identity, asked.n))
    }

    fn stream_of(
        &self,
        text: &[u8],
        asked: Asked,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BodyFault> {
        stream_of::<F>(text, asked.n, emit)
    }
}
