//! The endpoints of the API; each implements the trait [`Endpoint`].
//!
//! To add one, write a file with its implementation and add it to [`ENDPOINTS`].

mod chat;
mod completions;
mod embeddings;
mod interface;
mod parameter;
mod prompts;
mod request;

pub use chat::Chat;
pub use completions::Completions;
pub use embeddings::Embeddings;
pub use interface::Endpoint;
pub use parameter::{Parameter, Shape, misspelt};
pub use request::{Member, Prompt, Request};

/// All endpoints. The index in this list identifies an endpoint's path when a request is parsed.
pub static ENDPOINTS: &[&dyn Endpoint] = &[&Chat, &Completions, &Embeddings];

/// The endpoint at a path.
pub fn at(path: &str) -> Option<&'static dyn Endpoint> {
    ENDPOINTS.iter().copied().find(|endpoint| endpoint.path() == path)
}

/// Whether a tier's default or forced value for a parameter applies to this endpoint. It does not if only other
/// endpoints know the parameter.
pub(crate) fn concerns(endpoint: &dyn Endpoint, name: &str) -> bool {
    let knows = |one: &dyn Endpoint| one.parameter(name.as_bytes()) != Parameter::Other;
    knows(endpoint) || !ENDPOINTS.iter().any(|other| knows(*other))
}
