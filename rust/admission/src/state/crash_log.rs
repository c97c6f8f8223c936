//! Which request bodies were in flight when backends crashed.
//!
//! A request that crashes its backend is retried by its client, and so takes down one backend after
//! another. A reset connection proves little: it happens to all requests in flight, and load testers send
//! the same body many times, so a body that is in flight more than once is no suspect. So a backend counts
//! as crashed only if it refuses connections after it has reset some (a network failure resets them too,
//! but then they time out), and a body is a suspect only if it is the only one in flight at two crashes, or
//! the only one in common.

use crate::api::ids::BackendIndex;
use crate::shm::plain;
use crate::time::{Nanos, SECOND};

/// Resets of one backend within this time belong to one event.
const ONE_EVENT: Nanos = SECOND;

/// A crash is confirmed by a refused connection within this time.
const CONFIRMED_WITHIN: Nanos = 5 * SECOND;

/// Crashes farther apart are unrelated. A suspect is quarantined for as long.
const MEMORY: Nanos = 60 * SECOND;

/// Crashes that are remembered.
const CRASHES: usize = 8;

/// Bodies recorded for one crash; if more were in flight there are no suspects.
const BODIES: usize = 16;

/// What was in flight when a backend reset its connections.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Crash {
    /// 0: an empty entry.
    at: Nanos,
    bodies: [u64; BODIES],
    /// Bodies in flight, recorded or not.
    count: u32,
    backend: BackendIndex,
    /// 1: the backend refused connections after.
    confirmed: u16,
}

impl Crash {
    const NONE: Crash = Crash { at: 0, bodies: [0; BODIES], count: 0, backend: 0, confirmed: 0 };

    fn is_recent(&self, now: Nanos) -> bool {
        self.at != 0 && now.saturating_sub(self.at) < MEMORY
    }

    /// The bodies that were in flight only once.
    fn suspects(&self) -> impl Iterator<Item = u64> + '_ {
        let known = if self.count as usize > BODIES { 0 } else { self.count as usize };
        let bodies = &self.bodies[..known];
        let is_single = |&body: &u64| bodies.iter().filter(|&&other| other == body).count() == 1;
        bodies.iter().copied().filter(is_single)
    }

    /// The one body that two crashes have in common, if there is just one.
    fn common(&self, other: &Crash) -> Option<u64> {
        let mut both = self.suspects().filter(|&body| other.suspects().any(|one| one == body));
        both.next().filter(|_| both.next().is_none())
    }
}

/// The last crashes of all backends.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrashLog([Crash; CRASHES]);

plain!(CrashLog);

impl CrashLog {
    /// A backend reset the connection of a request with this body.
    pub(crate) fn note_reset(&mut self, backend: BackendIndex, body: u64, now: Nanos) {
        let is_same = |death: &&mut Crash| {
            death.at != 0 && death.backend == backend && now.saturating_sub(death.at) < ONE_EVENT
        };
        let death = if let Some(death) = self.0.iter_mut().find(is_same) {
            death
        } else {
            let Some(oldest) = self.0.iter_mut().min_by_key(|death| death.at) else { return };
            *oldest = Crash { at: now.max(1), backend, ..Crash::NONE };
            oldest
        };
        if let Some(place) = death.bodies.get_mut(death.count as usize) {
            *place = body;
        }
        death.count = death.count.saturating_add(1);
    }

    /// A backend refuses connections. Returns until when bodies must be checked, if there were two crashes.
    pub(crate) fn confirm(&mut self, backend: BackendIndex, now: Nanos) -> Option<Nanos> {
        let is_it = |death: &&mut Crash| {
            death.backend == backend
                && death.at != 0
                && now.saturating_sub(death.at) < CONFIRMED_WITHIN
        };
        let latest = self.0.iter_mut().filter(is_it).max_by_key(|death| death.at)?;
        latest.confirmed = 1;
        let recent = self.0.iter().filter(|death| death.confirmed != 0 && death.is_recent(now));
        (recent.count() > 1).then_some(now + MEMORY)
    }

    /// Whether a body is the one that was in flight at two crashes.
    pub(crate) fn is_suspect(&self, body: u64, now: Nanos) -> bool {
        let recent = || self.0.iter().filter(|death| death.confirmed != 0 && death.is_recent(now));
        let mut pairs = recent().flat_map(|one| recent().map(move |other| (one, other)));
        pairs.any(|(one, other)| !std::ptr::eq(one, other) && one.common(other) == Some(body))
    }
}

#[cfg(test)]
mod tests {
    use super::{CRASHES, Crash, CrashLog, MEMORY};
    use crate::time::{MILLISECOND, Nanos, SECOND};

    const POISON: u64 = 13;

    fn crash_log() -> CrashLog {
        CrashLog([Crash::NONE; CRASHES])
    }

    fn crash(crash_log: &mut CrashLog, backend: u16, bodies: &[u64], now: Nanos) {
        for (at, &body) in bodies.iter().enumerate() {
            crash_log.note_reset(backend, body, now + at as Nanos * MILLISECOND);
        }
        crash_log.confirm(backend, now + SECOND);
    }

    #[test]
    fn the_only_common_body_of_two_crashes_is_suspect_for_a_minute() {
        for (first, second) in [
            (&[POISON][..], &[POISON][..]),
            (&[POISON, 2, 3], &[4, POISON, 5]),
            (&[2, 2, POISON], &[2, POISON]),
        ] {
            let mut crash_log = crash_log();
            crash(&mut crash_log, 0, first, SECOND);
            assert!(!crash_log.is_suspect(POISON, 3 * SECOND), "one death may be chance");
            crash(&mut crash_log, 1, second, 20 * SECOND);
            assert!(crash_log.is_suspect(POISON, 22 * SECOND));
            assert!(!crash_log.is_suspect(2, 22 * SECOND) && !crash_log.is_suspect(4, 22 * SECOND));
            assert!(!crash_log.is_suspect(POISON, SECOND + MEMORY), "the first is forgotten");
        }
    }

    #[test]
    fn the_same_backend_may_crash_twice() {
        let mut crash_log = crash_log();
        crash(&mut crash_log, 0, &[POISON], SECOND);
        crash(&mut crash_log, 0, &[POISON], 10 * SECOND);
        assert!(crash_log.is_suspect(POISON, 12 * SECOND));
    }

    #[test]
    fn weak_evidence_makes_no_body_suspect() {
        // Reset twice, but it accepts connections after.
        let mut stumbles = crash_log();
        stumbles.note_reset(0, POISON, SECOND);
        stumbles.note_reset(1, POISON, 5 * SECOND);
        assert!(!stumbles.is_suspect(POISON, 6 * SECOND));
        // Refused much later.
        stumbles.confirm(0, 20 * SECOND);
        stumbles.confirm(1, 20 * SECOND);
        assert!(!stumbles.is_suspect(POISON, 21 * SECOND));
        for (why, first, second) in [
            ("load testers send the same body again and again", &[7, 7][..], &[7, 7, 7][..]),
            ("in flight more than once at one of them", &[7, 7], &[7]),
            ("two in common", &[7, 8, 1], &[8, 7, 2]),
            ("nothing in common", &[7], &[8]),
            (
                "too many in flight",
                &[7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18],
                &[7],
            ),
        ] {
            let mut crash_log = crash_log();
            crash(&mut crash_log, 0, first, SECOND);
            crash(&mut crash_log, 1, second, 10 * SECOND);
            assert!(
                !crash_log.is_suspect(7, 12 * SECOND) && !crash_log.is_suspect(8, 12 * SECOND),
                "{why}"
            );
        }
    }

    #[test]
    fn the_oldest_crash_is_forgotten_first() {
        let mut crash_log = crash_log();
        crash(&mut crash_log, 0, &[POISON], SECOND);
        for other in 0..CRASHES as u64 {
            crash(&mut crash_log, 1, &[100 + other], 10 * SECOND + 5 * other * SECOND / 4);
        }
        crash(&mut crash_log, 0, &[POISON], 40 * SECOND);
        assert!(!crash_log.is_suspect(POISON, 41 * SECOND));
    }
}
