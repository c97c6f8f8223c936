//! What the tests of several crates share; never shipped.
//!
//! * [`property`] runs a property on random values, and prints the seed of a failure
//! * [`naive`] reads whole texts with the plainest code that does the job: the oracles of the parsers. None of it uses
//!   a parser under test.
//! * [`fork`] makes real processes

#[allow(unsafe_code)] // processes are forked and signalled
pub mod fork;
pub mod naive;

use std::hash::{BuildHasher, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Bytes as text for messages of assertions.
pub fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() > 3000 {
        let head: String = text.chars().take(1500).collect();
        let tail: String = text.chars().rev().take(1500).collect();
        let tail: String = tail.chars().rev().collect();
        format!("{head}\n… {} bytes …\n{tail}", bytes.len())
    } else {
        text.into_owned()
    }
}

/// Runs a property on `cases` values; `PROPTEST_CASES` overrides how many.
///
/// A failure prints the minimal input and the seed; no file is written into the tree. The seed is new
/// on every run; `PENSTOCK_SEED=<64 hex digits>` repeats one.
pub fn property<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let mut seed = [0u8; 32];
    if let Ok(text) = std::env::var("PENSTOCK_SEED") {
        for (at, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("64 hex digits");
        }
    } else {
        for part in seed.chunks_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(0u8).to_le_bytes());
        }
    }
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        let seed = seed.map(|byte| format!("{byte:02x}")).concat();
        panic!("{error}\nrepeat with PENSTOCK_SEED={seed}");
    }
}
