//! From the arrival of a request to its permit.

pub(crate) mod arrival;
pub(crate) mod capacity;
pub(crate) mod cost;
pub(crate) mod dispatch;
pub(crate) mod flows;
pub(crate) mod notification;
pub(crate) mod order;
pub(crate) mod placement;
pub(crate) mod refusal;
pub(crate) mod reservation;
pub(crate) mod wait;
