//! Runs one worker: passes events to it and carries out its effects on real connections.
//!
//! While the worker is borrowed nothing calls into Python: a transport's `write` may call back (`pause_writing`)
//! before it returns. So such calls are collected (`deferred`) and made when the borrow has ended.

mod client_side;
mod clock;
mod deferred;
mod driver;
mod events;
mod submit;
mod upstream_transport;
mod worker_runner;

pub(crate) use client_side::{AnswerListener, ClientSide};
pub(crate) use submit::{AnswerOptions, Submission};
pub(crate) use upstream_transport::UpstreamTransport;
pub(crate) use worker_runner::{Connector, WorkerRunner};
