//! Request ids, answer ids and nonces: unique, not secret.

use penstock_wire::decimal::write_hex;

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
/// seeded by the caller: from the system's random source, or from the seed of a simulation.
#[derive(Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    pub fn seeded(seed: u64) -> Self {
        Ids { state: seed }
    }

    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The client's own id if it has the allowed form, else a new one.
    pub fn request_id(&mut self, own: Option<&str>) -> String {
        match own.filter(|id| is_valid(id)) {
            Some(own) => own.to_owned(),
            None => self.make("req-", 8),
        }
    }

    /// The id of an answer, which begins with `prefix`.
    pub fn answer_id(&mut self, prefix: &str) -> String {
        self.make(prefix, 16)
    }

    /// Behind `prefix`, 16 hexadecimal digits and `more`.
    fn make(&mut self, prefix: &str, more: usize) -> String {
        let mut id = Vec::with_capacity(48);
        id.extend_from_slice(prefix.as_bytes());
        write_hex(self.number(), 16, &mut id);
        write_hex(self.number(), more, &mut id);
        String::from_utf8(id).unwrap_or_default()
    }
}

fn is_valid(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len()) && id.bytes().all(allowed)
}
