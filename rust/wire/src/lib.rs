//! Bytes to messages and back. Nothing here knows of OpenAI, tiers, limits or Python.
//!
//! * [`http`]: request decoder, response heads, body framing, writers of heads
//! * [`json`]: a one-pass reader that returns byte ranges, and edits by splicing
//! * [`sse`]: a scanner of server-sent events that can resume after any byte
//! * [`scan`] and [`decimal`]: the innermost loops that all of them use

#![deny(unsafe_code)]

pub mod decimal;
pub mod http;
pub mod json;
pub mod scan;
pub mod sse;
