//! Implements [`Streaming`] for every endpoint whose answers consist of choices.

use super::assembler::Assembler;
use super::form::ChoiceForm;
use super::id_and_model::IdAndModel;
use super::stream::StreamNormaliser;
use super::streaming::{Asked, Assembly, StreamRules, Streaming};
use super::whole::{BodyFault, stream_of};

impl<F: ChoiceForm> Streaming for F {
    fn rules(&self, id_and_model: IdAndModel, asked: Asked) -> Box<dyn StreamRules> {
        Box::new(StreamNormaliser::<F>::new(id_and_model, asked))
    }

    fn assembly(&self, id_and_model: IdAndModel, asked: Asked) -> Box<dyn Assembly> {
        Box::new(Assembler::<F>::new(id_and_model, asked.n))
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
