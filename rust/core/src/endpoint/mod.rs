//! What Penstock serves: each endpoint of the API is one value of one trait.
//!
//! A new one is a file with that value, and its line in [`ENDPOINTS`].

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

/// All of them. Their order is that of the paths that a client's request is looked up by.
pub static ENDPOINTS: &[&dyn Endpoint] = &[&Chat, &Completions, &Embeddings];

/// The endpoint at a path.
pub fn at(path: &str) -> Option<&'static dyn Endpoint> {
    ENDPOINTS.iter().copied().find(|endpoint| endpoint.path() == path)
}

/// Whether what a tier's configuration says of a parameter is for this endpoint: not if it is a parameter of
/// other endpoints alone.
pub(crate) fn concerns(endpoint: &dyn Endpoint, name: &str) -> bool {
    let knows = |one: &dyn Endpoint| one.parameter(name.as_bytes()) != Parameter::Other;
    knows(endpoint) || !ENDPOINTS.iter().any(|other| knows(*other))
}
