//! How each family of model servers differs from the others, as data.
//!
//! A backend's `dialect` names its profile. [`GENERAL`] is for servers without a profile of their own, so it
//! knows the errors of all servers that were examined.
//!
//! To add a family:
//!
//! 1. Record its answers (`tests/recordings/README.md`), above all its errors.
//! 2. Write `families/NAME.json`. `defaults` is complete; times are in seconds. In
//!    `errors`, a pattern is a text that this server itself writes: prefer a `code`, which no client
//!    can put there, to a message. An unknown key is an error.
//! 3. Name the file in `FAMILIES` and the family in `errors_of` of `families/openai.json`; patterns
//!    that the general profile had for this server move into the new file.
//! 4. Add its recordings to `tests/profiles.rs` and its name to the configuration's `dialect`
//!    (`python/penstock/config`).
//!
//! What all families have in common is code: how an error is parsed and what a status means
//! (`openai::BackendFailure`), and how answers are normalised (`rules`). If a family differs there, add a
//! field here together with the code that reads it.

mod errors;

use std::sync::LazyLock;

use serde::Deserialize;

pub use self::errors::ErrorReport;
use self::errors::{ErrorPatterns, Patterns};

/// The profile of servers without one of their own, and of backends without a `dialect`.
pub const GENERAL: &str = "openai";

/// Each family and its file.
const FAMILIES: [(&str, &str); 3] = [
    (GENERAL, include_str!("families/openai.json")),
    ("vllm", include_str!("families/vllm.json")),
    ("llamacpp", include_str!("families/llamacpp.json")),
];

/// One family of model servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub defaults: Defaults,
    /// Other families whose errors this one also recognises.
    #[serde(default)]
    errors_of: Vec<String>,
    errors: Vec<ErrorPatterns>,
}

/// Defaults of a backend's configuration keys. Times in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// How long to keep an idle connection; shorter than the server's own time-out.
    pub keep_alive: f64,
    /// Upper bound: after this time the server no longer works on an aborted request, even if it has not
    /// closed the connection.
    pub abort_grace: f64,
    /// Lower bound: for this time it may still work on it, even if it has closed the connection.
    pub abort_hold: f64,
    /// Ask for a stream even if the client did not: the server notices a closed connection only while it
    /// streams.
    pub stream_whole: bool,
}

impl Profile {
    /// The profile of that name. Fails with a message that lists the known names.
    pub fn named(name: &str) -> Result<&'static Profile, String> {
        static PROFILES: LazyLock<Result<Vec<Profile>, String>> = LazyLock::new(|| read(&FAMILIES));
        let profiles = PROFILES.as_ref().map_err(String::clone)?;
        let at = FAMILIES.iter().position(|family| family.0 == name);
        at.map(|at| &profiles[at]).ok_or_else(|| {
            let known = FAMILIES.map(|family| family.0).join(", ");
            format!("no profile {name}; there are {known}")
        })
    }

    /// Whether the server says that the prompt does not fit into the model's context.
    pub fn is_overflow(&self, report: &ErrorReport<'_>) -> bool {
        self.matches(report, |server| &server.overflow)
    }

    /// Whether the server says that it cannot take another request now.
    pub fn is_full(&self, report: &ErrorReport<'_>) -> bool {
        self.matches(report, |server| &server.full)
    }

    /// Whether the server says that it is still loading its model.
    pub fn is_loading(&self, report: &ErrorReport<'_>) -> bool {
        self.matches(report, |server| &server.loading)
    }

    fn matches(&self, report: &ErrorReport<'_>, of: impl Fn(&ErrorPatterns) -> &Patterns) -> bool {
        self.errors.iter().any(|server| of(server).match_report(report))
    }
}

/// Parses the files and adds to each profile the errors of the families in its `errors_of`.
fn read(families: &[(&str, &str)]) -> Result<Vec<Profile>, String> {
    let parse = |&(name, text): &(&str, &str)| {
        serde_json::from_str::<Profile>(text).map_err(|error| format!("profile {name}: {error}"))
    };
    let own = families.iter().map(parse).collect::<Result<Vec<Profile>, String>>()?;
    let mut profiles = own.clone();
    for profile in &mut profiles {
        for name in &profile.errors_of {
            let at = families.iter().position(|family| family.0 == name);
            let at = at.ok_or_else(|| format!("errors_of: no profile {name}"))?;
            profile.errors.extend_from_slice(&own[at].errors);
        }
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests;
