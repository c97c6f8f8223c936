//! Which tier a request belongs to, which backends may serve it, and how its parameters are rewritten.

mod config;
mod max_tokens;
mod member_edit;
mod parameter_policy;
mod plan;
mod table;
mod template_arguments;
mod warning;

pub use config::{
    AffinityConfig, BackendConfig, NodeConfig, QueueConfig, RoutingConfig, SloConfig, TierConfig,
    TierProfile, TimeoutConfig, Unsupported,
};
pub use parameter_policy::ParameterPolicy;
pub use penstock_admission::{AdaptiveMode, BackendIndex, TierIndex};
pub use plan::Plan;
pub use table::{Backend, ModelIndex, Route, Slo, Table, Tier, Timeouts};
pub use warning::Warning;
