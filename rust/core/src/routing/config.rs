//! The routing part of a checked configuration, as the Python side hands it over (JSON).
//!
//! Python has refused everything invalid with file and line; what is wrong here is a bug, and a
//! plain error is enough. Times are in seconds, sizes in bytes.

use penstock_admission::{AdaptiveMode, TokenLimit};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingConfig {
    pub nodes: Vec<NodeConfig>,
    pub backends: Vec<BackendConfig>,
    pub tiers: Vec<TierConfig>,
    /// `limits.response`: the largest whole answer.
    pub response_limit: usize,
    /// `limits.event`: the largest event of a stream.
    pub event_limit: usize,
    /// `limits.connections`, of one worker: sizes the admission rows.
    pub connections: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub name: String,
    pub concurrency: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    pub name: String,
    /// The name of its profile; `None`: the general one. What is `None` below comes from the profile.
    pub dialect: Option<String>,
    /// What stands before `/v1/…` in its paths; empty for none.
    pub prefix: String,
    /// Header lines for each request: host, credentials, configured headers.
    pub headers: Vec<(String, String)>,
    /// The name this server knows; `None` until a probe has found it.
    pub serves: Option<String>,
    pub node: Option<String>,
    pub concurrency: u32,
    pub keep_alive: Option<f64>,
    /// Raised to `abort_hold` where that is longer.
    pub abort_grace: Option<f64>,
    pub abort_hold: Option<f64>,
    /// Whole answers are asked for as streams.
    pub stream_whole: Option<bool>,
    pub prefill_tokens: TokenLimitConfig,
    pub kv_tokens: TokenLimitConfig,
    /// Thousandths.
    pub weight: u32,
}

/// `null`, `"auto"` or a number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub enum TokenLimitConfig {
    Tokens(u64),
    Auto(AutoWord),
    Absent(()),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoWord {
    Auto,
}

impl From<TokenLimitConfig> for TokenLimit {
    fn from(config: TokenLimitConfig) -> Self {
        match config {
            TokenLimitConfig::Tokens(tokens) => TokenLimit::Tokens(tokens),
            TokenLimitConfig::Auto(AutoWord::Auto) => TokenLimit::Auto,
            TokenLimitConfig::Absent(()) => TokenLimit::None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    pub name: String,
    pub profile: TierProfile,
    pub models: Vec<String>,
    pub backends: Vec<String>,
    pub concurrency: Option<u32>,
    pub queue: QueueConfig,
    pub timeouts: TimeoutConfig,
    pub retry_budget: f64,
    pub share: u32,
    pub slo: SloConfig,
    /// Parts of the bands high, normal and low.
    pub bands: [u32; 3],
    pub affinity: AffinityConfig,
    pub adaptive: AdaptiveMode,
    pub media_tokens: u64,
    pub parameters: ParameterConfig,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    pub requests: u32,
    pub tokens: u64,
    pub bytes: u64,
    pub wait: f64,
    pub tenant_requests: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloConfig {
    pub first_token: Option<f64>,
    pub inter_token: Option<f64>,
}

/// What draws a request to a backend.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityConfig {
    /// The same beginning of the prompt.
    pub prefix: bool,
    /// The same value of this header, in lower case.
    pub header: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeoutConfig {
    pub connect: f64,
    pub first_event: f64,
    pub between_events: f64,
    pub total: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterConfig {
    pub default: Map<String, Value>,
    pub force: Map<String, Value>,
    pub max_tokens: Option<u64>,
    pub unsupported: Unsupported,
    pub allow: Vec<String>,
}

/// What kind of answers a tier gives; it decides what may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TierProfile {
    Instant,
    Thinking,
}

/// What happens to a parameter that cannot be honoured as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsupported {
    Strict,
    Warn,
    Permissive,
}
