//! Which tier a request belongs to, which backends may serve it, and what its parameters become.

mod config;
mod parameters;
mod plan;
mod table;

pub use config::{
    AffinityConfig, BackendConfig, NodeConfig, QueueConfig, RoutingConfig, SloConfig, TierConfig,
    TimeoutConfig,
};
pub use parameters::{ParameterPolicy, Unsupported, Warning};
pub use plan::Plan;
pub use table::{
    AdaptiveMode, Addressee, Backend, BackendIndex, ModelIndex, Profile, Slo, Table, Tier,
    TierIndex, Timeouts,
};
