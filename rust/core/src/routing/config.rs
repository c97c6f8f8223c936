//! The routing part of a validated configuration, as the Python side passes it (JSON).
//!
//! Python has already refused invalid values with file and line, so an error here is a bug and a plain
//! text is enough. Times are in seconds, sizes in bytes.

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
    /// `limits.connections` of one worker; determines the number of admission rows.
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
    /// The name of its profile; `None`: the general one. Fields below that are `None` take the profile's default.
    pub dialect: Option<String>,
    /// Path prefix before `/v1/…`; may be empty.
    pub prefix: String,
    /// Header lines for each request: host, credentials, configured headers.
    pub headers: Vec<(String, String)>,
    /// The model name that this server expects; `None`: a probe finds it.
    pub serves: Option<String>,
    pub node: Option<String>,
    pub concurrency: u32,
    pub keep_alive: Option<f64>,
    /// Raised to `abort_hold` where that is longer.
    pub abort_grace: Option<f64>,
    pub abort_hold: Option<f64>,
    /// Also ask for a stream when the client did not.
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
    /// Weights of the priorities high, normal and low.
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

/// What makes requests go to the same backend.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityConfig {
    /// An equal prompt prefix, which the backend may have cached.
    pub prefix: bool,
    /// An equal value of this header; its name in lower case.
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

/// Whether a tier's answers start at once or after a long reasoning phase; decides what may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TierProfile {
    Instant,
    Thinking,
}

/// What to do with a parameter that cannot be honoured as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsupported {
    Strict,
    Warn,
    Permissive,
}
