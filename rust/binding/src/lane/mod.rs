//! The lane: client connections in Rust, for plain inference requests that need nothing of aiohttp.
//!
//! `ClientConnection` of the core decides; this carries it out. A request that the lane does not support goes to
//! aiohttp with its connection and all of its bytes; a later request may bring the connection back
//! (`server/lane.py`).

mod client_transport;
mod config;
mod connection;
mod hand_over;
mod reading;

pub(crate) use config::LaneConfig;
pub(crate) use connection::LaneConnection;
