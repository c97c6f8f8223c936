//! Bytes to messages and back. Nothing here knows of OpenAI, tiers, limits or Python.
//!
//! * [`http`]: requests cut from a connection's bytes, heads, body framing
//! * [`json`]: a one-pass reader of byte ranges, and edits by splicing
//! * [`sse`]: the scanner of server-sent events, resumable after any byte
//! * [`scan`] and [`decimal`]: the small loops below all of it

#![deny(unsafe_code)]

pub mod decimal;
pub mod http;
pub mod json;
pub mod scan;
pub mod sse;
