//! The last request head of a connection.
//!
//! Clients repeat the same head for every request of a connection, with another `content-length` at most. Comparing
//! it with the last one is cheaper than parsing it again.

use super::decoder_config::DecoderConfig;
use super::head_layout::HeadLayout;
use super::request_head::number;
use crate::json::Span;

/// Longer heads are rare, and each would be kept as long as its connection is open.
const MAX_CACHED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct HeadCache(Option<(Vec<u8>, HeadLayout)>);

impl HeadCache {
    pub(super) fn store(&mut self, head: &[u8], layout: &HeadLayout) {
        self.0 = (head.len() <= MAX_CACHED).then(|| (head.to_vec(), layout.clone()));
    }

    /// The layout of the request that `bytes` begin with, if its head is the cached one but for the digits of its
    /// length.
    pub(super) fn layout(&self, config: &DecoderConfig, bytes: &[u8]) -> Option<HeadLayout> {
        let (cached, layout) = self.0.as_ref()?;
        let head = bytes.get(..cached.len())?;
        let Span { start, end } = layout.length_digits;
        if head[..start] != cached[..start] || head[end..] != cached[end..] {
            return None;
        }
        layout.clone().with_body(config, number(&head[start..end])?)
    }
}
