//! What the next holder of the lock finds, and what comes of it.

use std::collections::HashMap;

use penstock_admission::time::{MILLISECOND, Nanos};
use penstock_admission::{Notification, Owner, PermitOutcome, Resources, Ticket};

use crate::fixture::{Fixture, GRACE, NOBODY, NODE, WAIT, WORKERS, owner};

/// The state of a request that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Waits,
    /// Its grant has not been read.
    Granted,
    /// It holds its permit.
    Runs,
    /// Its worker is dead; it counts until the abort grace is over.
    Orphaned,
    /// Its refusal has not been read.
    Refused,
}

/// Requests, their states, and their owners.
pub type Standings = HashMap<Ticket, (Standing, Owner)>;

/// Everything that can be seen of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub standings: Standings,
    pub used: [Resources; 2],
    pub limits: [u32; 2],
    pub usable: [bool; 2],
    pub arrived: u64,
    /// Waiting requests that were refused later.
    pub refused_later: Vec<Ticket>,
}

impl Seen {
    /// The state of each request, or how it ended.
    pub fn ends(&self) -> Standings {
        let end = |(&ticket, &(standing, owner)): (&Ticket, &(Standing, Owner))| {
            let is_over = self.refused_later.contains(&ticket);
            (ticket, (if is_over { Standing::Refused } else { standing }, owner))
        };
        self.standings.iter().map(end).collect()
    }
}

/// Takes the lock, looks at everything, and then serves all requests to the end. Panics if one is lost, or
/// there twice.
pub fn look(fixture: &Fixture, now: Nanos) -> Seen {
    let admission = &fixture.admission;
    let found = admission.invariants();
    assert!(found.ok, "{found:?}");
    let backends = [0, 1].map(|backend| admission.backend(backend).cap);
    assert!(admission.node_used(0) <= NODE);

    let mut standings = Standings::new();
    for owner in (0..WORKERS).map(owner).chain([NOBODY]) {
        let standing = if owner == NOBODY { Standing::Orphaned } else { Standing::Runs };
        for ticket in admission.permits_of(owner) {
            assert_eq!(standings.insert(ticket, (standing, owner)), None, "a permit has one owner");
        }
    }
    for (owner, notification) in notifications(fixture) {
        let (ticket, standing) = match notification {
            Notification::Granted(grant) => (grant.ticket, Standing::Granted),
            Notification::Refused(ticket, _) => (ticket, Standing::Refused),
        };
        let before = standings.insert(ticket, (standing, owner));
        let expected = (standing == Standing::Granted).then_some((Standing::Runs, owner));
        assert_eq!(before, expected, "a notification comes once, to the owner");
    }
    let mut refused_later = Vec::new();
    for (ticket, (answer, owner)) in serve(fixture, now) {
        assert_eq!(
            standings.insert(ticket, (Standing::Waits, owner)),
            None,
            "what waits is served once"
        );
        if answer == Standing::Refused {
            refused_later.push(ticket);
        }
    }
    Seen {
        standings,
        used: backends.map(|cap| cap.used),
        limits: backends.map(|cap| cap.limit().expect("backends have one")),
        usable: [0, 1].map(|backend| admission.is_usable(backend)),
        arrived: found.arrived,
        refused_later,
    }
}

/// A worker is dead, in a segment that looked like this. Panics if the death changes anything for others.
pub fn reclaim(fixture: &Fixture, dead: Owner, seen: &Seen, now: Nanos) {
    let admission = &fixture.admission;
    admission.reclaim(dead, now);
    assert!(admission.invariants().ok);
    assert_eq!(admission.permits_of(dead), []);
    let held: Vec<Ticket> =
        (0..WORKERS).flat_map(|worker| admission.permits_of(owner(worker))).collect();
    let mut answers: Standings = notifications(fixture).map(answer).collect();
    answers.extend(serve(fixture, now));
    for (ticket, &(standing, owner)) in &seen.standings {
        let got = answers.get(ticket);
        match standing {
            _ if owner == dead => assert_eq!(got, None, "nobody is there to be told"),
            Standing::Runs | Standing::Granted if !held.contains(ticket) => {
                panic!("a permit of the living: {ticket:?}");
            }
            Standing::Runs | Standing::Orphaned => assert_eq!(got, None),
            Standing::Refused => assert_eq!(got, Some(&(Standing::Refused, owner))),
            Standing::Waits if seen.refused_later.contains(ticket) => assert!(got.is_some()),
            Standing::Waits | Standing::Granted => {
                assert_eq!(got, Some(&(Standing::Granted, owner)));
            }
        }
    }
}

/// Ends what runs and all that comes after it, until nothing is in use. Returns the answers to what had
/// waited.
fn serve(fixture: &Fixture, mut now: Nanos) -> Standings {
    let admission = &fixture.admission;
    let end = now + WAIT + GRACE;
    let mut answers = Standings::new();
    let running = (0..WORKERS).flat_map(|worker| admission.permits_of(owner(worker)));
    let mut running: Vec<Ticket> = running.collect();
    while !is_empty(fixture) {
        assert!(now < end, "everything ends in time");
        for ticket in running.drain(..) {
            assert!(admission.release(ticket, PermitOutcome::Success, now), "it is held until now");
        }
        now += 10 * MILLISECOND;
        admission.tick(now);
        for (ticket, said) in notifications(fixture).map(answer) {
            assert_eq!(answers.insert(ticket, said), None, "an answer comes once");
            if said.0 == Standing::Granted {
                running.push(ticket);
            }
        }
    }
    check_free(fixture);
    answers
}

/// All notifications, with their owners.
fn notifications(fixture: &Fixture) -> impl Iterator<Item = (Owner, Notification)> {
    (0..WORKERS).flat_map(|worker| {
        fixture
            .notifications(worker)
            .into_iter()
            .map(move |notification| (owner(worker), notification))
    })
}

fn answer((owner, notification): (Owner, Notification)) -> (Ticket, (Standing, Owner)) {
    match notification {
        Notification::Granted(grant) => (grant.ticket, (Standing::Granted, owner)),
        Notification::Refused(ticket, _) => (ticket, (Standing::Refused, owner)),
    }
}

fn is_empty(fixture: &Fixture) -> bool {
    let queued = [0, 1].map(|tier| fixture.admission.tier(tier).queued);
    let used = [0, 1].map(|backend| fixture.admission.backend(backend).cap.used.slots);
    queued == [0, 0] && used == [0, 0]
}

fn check_free(fixture: &Fixture) {
    let admission = &fixture.admission;
    let end = admission.invariants();
    assert!(end.ok, "{end:?}");
    assert_eq!((end.queued, end.running, end.closing), (0, 0, 0));
    assert_eq!(end.arrived, end.finished);
    for at in [0, 1] {
        assert_eq!(admission.backend(at).cap.used, Resources::default());
        assert_eq!(admission.tier(at).cap.used, Resources::default());
        assert_eq!([admission.inflight(at, 0), admission.inflight(at, 1)], [0, 0]);
    }
    assert_eq!(admission.node_used(0), 0);
}

/// How much an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One request, and with it those that get its capacity.
    One,
    /// Many, each by itself: if it is cut short, some are done and others not.
    Many,
}

impl Change {
    /// Panics unless an operation that dies between `before` and `after` may leave `seen`.
    pub fn judge(self, seen: &Seen, before: &Seen, after: &Seen) {
        if self == Change::One {
            let is_like =
                |other: &Seen| seen.standings == other.standings && seen.used == other.used;
            assert!(
                is_like(before) || is_like(after),
                "{seen:#?}\nbefore {before:#?}\nafter {after:#?}"
            );
        }
        let [ends, old, new] = [seen, before, after].map(Seen::ends);
        for ticket in ends.keys().chain(old.keys()) {
            let [end, old, new] = [&ends, &old, &new].map(|ends| ends.get(ticket));
            assert!(end == old || end == new, "{ticket:?}: {old:?}, {end:?}, {new:?}");
        }
        for at in 0..2 {
            let [limit, old, new] = [seen, before, after].map(|seen| seen.limits[at]);
            assert!(limit == old || limit == new);
            // A lowered limit does not end what runs.
            let most = limit.max(before.used[at].slots);
            assert!(seen.used[at].slots <= most, "{} of {most}", seen.used[at].slots);
        }
        // A death between the end of a request and its being counted counts it twice, or not at all.
        let arrived = before.arrived - 1..=after.arrived + 1;
        assert!(arrived.contains(&seen.arrived), "{} of {arrived:?}", seen.arrived);
    }
}
