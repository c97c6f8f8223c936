//! Which tier a request belongs to, which backends may serve it, and how its parameters are rewritten.

mod config;
mod parameters;
mod plan;
mod table;

pub use config::{
    AffinityConfig, BackendConfig, NodeConfig, QueueConfig, RoutingConfig, SloConfig, TierConfig,
    TierProfile, TimeoutConfig, Unsupported,
};
pub use parameters::{ParameterPolicy, Warning};
pub use penstock_admission::{AdaptiveMode, BackendIndex, TierIndex};
pub use plan::Plan;
pub use table::{Addressee, Backend, ModelIndex, Slo, Table, Tier, Timeouts};
