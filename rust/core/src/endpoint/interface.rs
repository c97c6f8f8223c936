//! The trait of an endpoint.

use std::fmt::Debug;

use super::parameter::Parameter;
use super::request::Request;
use crate::openai::{ApiError, Usage};
use crate::rules::{Asked, BodyFault, IdAndModel, Streaming};

/// Everything in which one endpoint differs from the others. A request's plan holds its endpoint.
pub trait Endpoint: Debug + Send + Sync {
    /// The path for clients, and, after the backend's prefix, for backends.
    fn path(&self) -> &'static str;

    /// The prefix of the ids of its answers.
    fn id_prefix(&self) -> &'static str;

    /// The name of the parameter that holds the prompt.
    fn prompt_name(&self) -> &'static str;

    /// What a parameter of that name means here.
    fn parameter(&self, name: &[u8]) -> Parameter;

    /// Parses a request and refuses what no backend could serve.
    fn read<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, ApiError>;

    /// The parameters that the backend's prompt begins with, in its order: their prefix may be cached.
    fn prefix(&self) -> &'static [Parameter];

    /// Whether it generates text, so that length, number of choices and streaming apply.
    fn generates(&self) -> bool {
        true
    }

    /// Checks a whole answer and appends it with its id and model name replaced. Returns the reported token counts.
    fn whole(
        &self,
        text: &[u8],
        id_and_model: &IdAndModel,
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, BodyFault>;

    /// How its answers are streamed; `None`: never.
    fn streaming(&self) -> Option<&'static dyn Streaming>;

    /// Appends an error as a response body.
    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        error.write(out);
    }

    /// Appends an error as the last event of a stream.
    fn write_error_event(&self, error: &ApiError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        error.write(out);
        out.extend_from_slice(b"\n\n");
    }
}
