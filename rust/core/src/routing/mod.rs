//! Which tier a request belongs to, which backends may serve it, and what its parameters become.

mod config;
mod parameters;
mod plan;
mod table;

pub use config::{
    BackendConfig, NodeConfig, QueueConfig, RoutingConfig, TierConfig, TimeoutConfig,
};
pub use parameters::{ParameterPolicy, Unsupported, Warning};
pub use plan::Plan;
pub use table::{Backend, BackendIndex, Profile, Table, Tier, TierIndex, Timeouts};
