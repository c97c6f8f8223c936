//! The routing table: built once per configuration, read by every request.

use std::collections::HashMap;

use penstock_admission::{AdaptiveMode, BackendIndex, TierIndex, TokenLimit};

use super::config::{
    AffinityConfig, BackendConfig, QueueConfig, RoutingConfig, TierConfig, TierProfile,
};
use super::parameter_policy::ParameterPolicy;
use crate::openai::{ApiError, Code};
use crate::profile::{GENERAL, Profile};
use crate::time::{Nanos, seconds};

pub type ModelIndex = u16;

/// Where a model name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub tier: TierIndex,
    pub model: ModelIndex,
}

/// A tier's timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Nanos,
    /// From dispatch to the first meaningful event of a stream.
    pub first_event: Nanos,
    pub between_events: Nanos,
    /// From arrival to the end, all attempts together.
    pub total: Nanos,
}

/// A tier's service level; absent: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slo {
    pub first_token: Option<Nanos>,
    pub inter_token: Option<Nanos>,
}

#[derive(Debug)]
pub struct Tier {
    pub name: String,
    pub profile: TierProfile,
    pub models: Vec<String>,
    pub backends: Vec<BackendIndex>,
    pub concurrency: Option<u32>,
    pub queue: QueueConfig,
    pub timeouts: Timeouts,
    pub retry_budget: f64,
    /// Its weight among tiers that share a backend.
    pub share: u32,
    pub slo: Slo,
    pub bands: [u32; 3],
    pub affinity: AffinityConfig,
    pub adaptive: AdaptiveMode,
    /// Prompt tokens to assume for each image, sound, video or file.
    pub media_tokens: u64,
    /// All of its backends stream whole answers too, so the time to first token is known for every request.
    pub streams_whole: bool,
    pub parameters: ParameterPolicy,
}

#[derive(Debug)]
pub struct Backend {
    pub name: String,
    /// How its family of servers differs from the others.
    pub profile: &'static Profile,
    /// Path prefix before the path of an endpoint.
    pub prefix: String,
    /// Header lines of every request to it, each ended by CRLF.
    pub headers: Vec<u8>,
    /// Index into the nodes.
    pub node: Option<usize>,
    pub concurrency: u32,
    /// The configured name of its model; `None`: a probe finds it.
    pub serves: Option<String>,
    /// How long an idle connection is kept; shorter than the backend's own time-out.
    pub keep_alive: Nanos,
    /// How long an aborted request keeps its slots at most.
    pub abort_grace: Nanos,
    /// How long it keeps them at least.
    pub abort_hold: Nanos,
    /// Whole answers are requested as streams and assembled, because the server notices a closed connection
    /// only while it streams.
    pub stream_whole: bool,
    pub prefill: TokenLimit,
    pub kv: TokenLimit,
    /// Thousandths.
    pub weight: u32,
}

#[derive(Debug)]
pub struct Table {
    pub tiers: Vec<Tier>,
    pub backends: Vec<Backend>,
    /// Slot limits of the GPU nodes, by index.
    pub nodes: Vec<Option<u32>>,
    pub node_names: Vec<String>,
    pub response_limit: usize,
    pub event_limit: usize,
    /// `limits.connections`, of one worker.
    pub connections: usize,
    /// Every name that clients may use, sorted.
    pub models: Vec<String>,
    by_model: HashMap<String, Route>,
    /// The model names in one line, for error messages.
    names: String,
}

impl Table {
    /// Fails with a plain text if a name refers to nothing; the Python side has checked this before.
    pub fn build(config: RoutingConfig) -> Result<Self, String> {
        let node_index = index_of(config.nodes.iter().map(|node| &node.name));
        let backend_index = index_of(config.backends.iter().map(|backend| &backend.name));
        let mut backends = Vec::with_capacity(config.backends.len());
        for backend in config.backends {
            backends.push(build_backend(backend, &node_index)?);
        }
        let mut owners = Vec::new();
        let mut tiers = Vec::with_capacity(config.tiers.len());
        for (index, tier) in config.tiers.into_iter().enumerate() {
            for model in &tier.models {
                owners.push((model.clone(), index as TierIndex));
            }
            tiers.push(build_tier(tier, &backend_index, &backends)?);
        }
        owners.sort_unstable();
        let models: Vec<String> = owners.iter().map(|(model, _)| model.clone()).collect();
        let indexed = owners.into_iter().enumerate();
        let by_model = indexed
            .map(|(at, (name, tier))| (name, Route { tier, model: at as ModelIndex }))
            .collect();
        let names = models.join(", ");
        Ok(Table {
            tiers,
            backends,
            nodes: config.nodes.iter().map(|node| node.concurrency).collect(),
            node_names: config.nodes.into_iter().map(|node| node.name).collect(),
            response_limit: config.response_limit,
            event_limit: config.event_limit,
            connections: config.connections,
            models,
            by_model,
            names,
        })
    }

    /// The route of a model name. Fails with `model_not_found`.
    pub fn find(&self, model: &str) -> Result<Route, ApiError> {
        self.by_model.get(model).copied().ok_or_else(|| {
            let shown: String = model.chars().take(256).collect();
            let message =
                format!("the model '{shown}' does not exist; available models: {}", self.names);
            ApiError::new(Code::ModelNotFound, message).param("model")
        })
    }
}

fn index_of<'a>(names: impl Iterator<Item = &'a String>) -> HashMap<String, usize> {
    names.enumerate().map(|(index, name)| (name.clone(), index)).collect()
}

fn build_backend(
    backend: BackendConfig,
    nodes: &HashMap<String, usize>,
) -> Result<Backend, String> {
    let node = match &backend.node {
        None => None,
        Some(name) => Some(*nodes.get(name).ok_or(format!("no node {name}"))?),
    };
    let mut headers = Vec::new();
    for (name, value) in &backend.headers {
        headers.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let profile = Profile::named(backend.dialect.as_deref().unwrap_or(GENERAL))?;
    let defaults = &profile.defaults;
    let abort_hold = backend.abort_hold.unwrap_or(defaults.abort_hold);
    let abort_grace = backend.abort_grace.unwrap_or(defaults.abort_grace);
    Ok(Backend {
        profile,
        prefix: backend.prefix,
        name: backend.name,
        headers,
        node,
        concurrency: backend.concurrency,
        serves: backend.serves,
        keep_alive: seconds(backend.keep_alive.unwrap_or(defaults.keep_alive)),
        abort_grace: seconds(abort_grace.max(abort_hold)),
        abort_hold: seconds(abort_hold),
        stream_whole: backend.stream_whole.unwrap_or(defaults.stream_whole),
        prefill: backend.prefill_tokens.into(),
        kv: backend.kv_tokens.into(),
        weight: backend.weight,
    })
}

fn build_tier(
    tier: TierConfig,
    by_name: &HashMap<String, usize>,
    backends: &[Backend],
) -> Result<Tier, String> {
    let indices: Vec<BackendIndex> = tier
        .backends
        .iter()
        .map(|name| {
            let index = by_name.get(name).ok_or(format!("no backend {name}"))?;
            Ok(*index as BackendIndex)
        })
        .collect::<Result<_, String>>()?;
    let stream_whole = |at: &BackendIndex| backends[usize::from(*at)].stream_whole;
    Ok(Tier {
        timeouts: Timeouts {
            connect: seconds(tier.timeouts.connect),
            first_event: seconds(tier.timeouts.first_event),
            between_events: seconds(tier.timeouts.between_events),
            total: seconds(tier.timeouts.total),
        },
        parameters: ParameterPolicy::new(tier.parameters, indices.iter().any(stream_whole)),
        streams_whole: indices.iter().all(stream_whole),
        name: tier.name,
        profile: tier.profile,
        models: tier.models,
        backends: indices,
        concurrency: tier.concurrency,
        queue: tier.queue,
        retry_budget: tier.retry_budget,
        share: tier.share,
        slo: Slo {
            first_token: tier.slo.first_token.map(seconds),
            inter_token: tier.slo.inter_token.map(seconds),
        },
        bands: tier.bands,
        affinity: tier.affinity,
        adaptive: tier.adaptive,
        media_tokens: tier.media_tokens,
    })
}
