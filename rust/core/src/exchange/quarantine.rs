//! Prompts that kill backends: after the second kill a prompt is refused for a while.
//!
//! A request that crashes its model server is retried by the gateway once and by SDKs again, and so
//! takes down one backend after the other (research/reliability-and-ux.md §1.3, row 7).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::{Nanos, SECOND};

/// Kills after which a prompt is refused, and for how long.
const KILLS: u8 = 2;
const HOLD: Nanos = 60 * SECOND;
/// Suspects remembered; the oldest gives way.
const SUSPECTS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Suspect {
    hash: u64,
    kills: u8,
    last: Nanos,
}

#[derive(Debug, Default)]
pub struct Quarantine {
    suspects: Vec<Suspect>,
}

fn hash(prompt: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    prompt.hash(&mut hasher);
    hasher.finish()
}

impl Quarantine {
    /// Whether a prompt is refused. Costs nothing while no backend has died.
    pub fn holds(&mut self, prompt: &[u8], now: Nanos) -> bool {
        if self.suspects.is_empty() {
            return false;
        }
        self.suspects.retain(|suspect| suspect.last + HOLD > now);
        let hash = hash(prompt);
        self.suspects.iter().any(|suspect| suspect.hash == hash && suspect.kills >= KILLS)
    }

    /// A connection died under this prompt.
    pub fn killed(&mut self, prompt: &[u8], now: Nanos) {
        let hash = hash(prompt);
        if let Some(known) = self.suspects.iter_mut().find(|suspect| suspect.hash == hash) {
            known.kills = known.kills.saturating_add(1);
            known.last = now;
            return;
        }
        if self.suspects.len() == SUSPECTS {
            self.suspects.remove(0);
        }
        self.suspects.push(Suspect { hash, kills: 1, last: now });
    }
}

#[cfg(test)]
mod tests {
    use super::{HOLD, Quarantine};

    #[test]
    fn holds_after_the_second_kill_and_forgets() {
        let mut quarantine = Quarantine::default();
        assert!(!quarantine.holds(b"poison", 0));
        quarantine.killed(b"poison", 0);
        assert!(!quarantine.holds(b"poison", 1), "one death may be chance");
        quarantine.killed(b"poison", 2);
        assert!(quarantine.holds(b"poison", 3));
        assert!(!quarantine.holds(b"another", 3));
        assert!(!quarantine.holds(b"poison", 2 + HOLD));
    }
}
