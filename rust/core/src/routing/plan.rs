//! The plan of one accepted request: its tier, what it costs, and the body for its backends.

use std::hash::{DefaultHasher, Hash, Hasher};

use penstock_admission::Blocks;
use penstock_admission::TierIndex;
use penstock_wire::json::{JsonError, Reader, unescape, write_string};

use super::parameter_policy::{NO_STREAM, Rewritten};
use super::table::{ModelIndex, Route, Table, Tier};
use super::warning::Warning;
use crate::endpoint::{Endpoint, Parameter, Request};
use crate::openai::ApiError;
use crate::rules::Asked;
use crate::tokens::PromptSize;

#[derive(Debug, Clone)]
pub struct Plan {
    pub endpoint: &'static dyn Endpoint,
    pub tier: TierIndex,
    /// The name the client asked for; answers carry the same name.
    pub model: String,
    pub model_index: ModelIndex,
    pub stream: bool,
    pub include_usage: bool,
    /// Choices that the answer must have.
    pub n: u32,
    /// Slots that it takes at a backend.
    pub slots: u32,
    /// The parameter that determines the slots, for error messages.
    pub widest: &'static str,
    pub prompt: PromptSize,
    /// Hashes of the prompt's leading blocks, to find a backend that has them cached.
    pub blocks: Blocks,
    /// The limit on the output tokens of each sequence, if there is one; 0 for endpoints that generate nothing.
    pub max_tokens: Option<u64>,
    pub tools: bool,
    pub warnings: Vec<Warning>,
    /// The rest of the body after `{"model":…,`.
    tail: Vec<u8>,
}

impl Plan {
    /// Parses a body and decides everything that does not depend on the backend.
    pub fn make(
        table: &Table,
        endpoint: &'static dyn Endpoint,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let request = endpoint.read(body)?;
        request.check_is_a_clients()?;
        let Route { tier, model: model_index } = table.find(&request.model)?;
        let config = &table.tiers[usize::from(tier)];
        let mut warnings = Vec::new();
        let Rewritten { tail, max_tokens } =
            config.parameters.rewrite(endpoint, &request, &mut warnings)?;
        // With a single backend, prefix affinity has nothing to choose from.
        let remembers = config.affinity.prefix && config.backends.len() > 1;
        let needs = if config.parameters.changes_needs() {
            let mut sent = Vec::with_capacity(tail.len() + 16);
            Self::write_model("", &mut sent);
            sent.extend_from_slice(&tail);
            Needs::of(endpoint, &endpoint.read(&sent)?, table, config, remembers)
        } else {
            Needs::of(endpoint, &request, table, config, remembers)
        };
        let Needs { n, slots, widest, tools, prompt, blocks } = needs;
        Ok(Plan {
            endpoint,
            tier,
            model_index,
            blocks,
            max_tokens: if endpoint.generates() { max_tokens } else { Some(0) },
            tools,
            model: request.model.into_owned(),
            stream: request.stream,
            include_usage: request.include_usage,
            n,
            slots,
            widest,
            prompt,
            warnings,
            tail,
        })
    }

    /// What the client asked for that determines the shape of its answer.
    pub fn asked(&self) -> Asked {
        Asked { n: self.n, include_usage: self.include_usage }
    }

    /// Whether the backend is asked for a stream. `stream_whole`: that backend streams whole answers too.
    pub fn streams(&self, stream_whole: bool) -> bool {
        self.stream || (stream_whole && self.endpoint.streaming().is_some())
    }

    /// The limit on the output tokens of all its sequences together, if there is one.
    pub fn most_output(&self) -> Option<u64> {
        self.max_tokens.map(|most| most.saturating_mul(u64::from(self.slots)))
    }

    /// The route of a body that was refused, if its model can be read: for the log and the metrics.
    pub fn route(table: &Table, body: &[u8]) -> Option<Route> {
        let mut model = None;
        // The error is ignored: what was read before it counts.
        let _ = Reader::new(body).object(|reader, key| {
            let value = reader.value()?;
            if key.is("model") {
                model = value.raw_str(body).map(unescape);
            }
            Ok::<(), JsonError>(())
        });
        table.find(&model?).ok()
    }

    /// Appends the beginning of the body, with the backend's own model name `serves`; the rest is
    /// [`Self::tail`].
    pub fn write_model(serves: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"model\":");
        write_string(serves, out);
        out.push(b',');
    }

    /// Appends the beginning of a body that asks for a stream, whether or not the client did. Returns the
    /// position in the tail where the rest begins.
    pub fn write_streamed(&self, serves: &str, out: &mut Vec<u8>) -> usize {
        Self::write_model(serves, out);
        if self.stream {
            return 0;
        }
        out.extend_from_slice(b"\"stream\":true,\"stream_options\":{\"include_usage\":true},");
        if self.tail.starts_with(NO_STREAM) { NO_STREAM.len() } else { 0 }
    }

    /// The body after the model, the same for every backend.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// A hash of the body, equal in every process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.tail.hash(&mut hasher);
        hasher.finish()
    }

    /// Frees the body: after the first event there is no further attempt.
    pub fn free_body(&mut self) {
        self.tail = Vec::new();
    }
}

/// What a request costs a backend, read from the body that the backend will be sent.
struct Needs {
    n: u32,
    slots: u32,
    widest: &'static str,
    tools: bool,
    prompt: PromptSize,
    blocks: Blocks,
}

impl Needs {
    fn of(
        endpoint: &dyn Endpoint,
        request: &Request<'_>,
        table: &Table,
        tier: &Tier,
        remembers: bool,
    ) -> Self {
        let Request { n, width, prompt, .. } = request;
        let slots = match prompt.count {
            1 => *width,
            // A backend with fewer slots runs many prompts one after the other, so the slots are capped.
            prompts => width.saturating_mul(prompts).min(smallest_cap(table, tier)).max(*width),
        };
        Needs {
            n: n.saturating_mul(prompt.count),
            slots,
            widest: match () {
                () if slots > *width => endpoint.prompt_name(),
                () if width > n => "best_of",
                () => "n",
            },
            tools: request.get(Parameter::Tools).is_some(),
            prompt: PromptSize {
                bytes: prompt.bytes,
                known: prompt.tokens + u64::from(prompt.media) * tier.media_tokens,
            },
            blocks: if remembers && prompt.count == 1 {
                blocks_of(endpoint, request)
            } else {
                Blocks::default()
            },
        }
    }
}

/// The smallest of the limits that apply to a request of this tier, in slots.
fn smallest_cap(table: &Table, tier: &Tier) -> u32 {
    let backends = tier.backends.iter().map(|at| &table.backends[usize::from(*at)]);
    let caps = backends.flat_map(|backend| {
        let node = backend.node.and_then(|node| table.nodes[node]);
        [Some(backend.concurrency), node]
    });
    caps.chain([tier.concurrency]).flatten().min().unwrap_or(u32::MAX)
}

fn blocks_of(endpoint: &dyn Endpoint, request: &Request<'_>) -> Blocks {
    let members = endpoint.prefix().iter().filter_map(|one| request.get(*one));
    Blocks::of(members.map(|member| member.value.span.of(request.text)))
}
