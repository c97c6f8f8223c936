//! What an endpoint is.

use std::fmt::Debug;

use super::parameter::Parameter;
use super::request::Request;
use crate::openai::{ApiError, Usage};
use crate::rules::{Asked, BodyFault, Identity, Streaming};

/// One endpoint: everything in which it differs from others. A request's plan holds the one it came by.
pub trait Endpoint: Debug + Send + Sync {
    /// Where clients post requests, and, behind its prefix, where a backend takes them.
    fn path(&self) -> &'static str;

    /// What the ids of its answers begin with.
    fn id_prefix(&self) -> &'static str;

    /// The name of the parameter that holds the prompt.
    fn prompt_name(&self) -> &'static str;

    /// What a parameter of that name is to it.
    fn parameter(&self, name: &[u8]) -> Parameter;

    /// Reads a request and refuses what cannot be served, whoever serves it.
    fn read<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, ApiError>;

    /// The parameters that make the beginning of what a backend reads, in its order: what it may have cached.
    fn prefix(&self) -> &'static [Parameter];

    /// Whether its answers are texts, for which a length, several choices and a stream may be asked.
    fn generates(&self) -> bool {
        true
    }

    /// Checks a whole answer and appends it with its identity set. Returns the reported token counts.
    fn whole(
        &self,
        text: &[u8],
        identity: &Identity,
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, BodyFault>;

    /// How its answers stream; `None`: they never do.
    fn streaming(&self) -> Option<&'static dyn Streaming>;

    /// Appends an error as the body of an answer.
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
