//! Request ids, answer ids and nonces: unique, not secret.

use std::hash::{BuildHasher, RandomState};

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
/// seeded from the system's random source.
#[derive(Debug)]
pub(crate) struct Ids {
    state: u64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Ids { state: RandomState::new().hash_one(std::process::id()) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The client's own id if it has the allowed form (contract §4.5), else a new one.
    pub(crate) fn request_id(&mut self, own: Option<&str>) -> String {
        own.filter(|id| is_valid(id)).map_or_else(
            || format!("req-{:016x}{:08x}", self.next(), self.next() as u32),
            str::to_owned,
        )
    }

    pub(crate) fn answer_id(&mut self) -> String {
        format!("chatcmpl-{:016x}{:016x}", self.next(), self.next())
    }
}

fn is_valid(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len()) && id.bytes().all(allowed)
}
