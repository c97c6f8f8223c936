//! What someone finds who takes the lock, and what comes of it.

use std::collections::HashMap;

use penstock_admission::time::{MILLISECOND, Nanos};
use penstock_admission::{Notice, Outcome, Owner, Resources, Ticket};

use crate::stage::{GRACE, NOBODY, NODE, Stage, WAIT, WORKERS, owner};

/// Where a request stands; one that is not known stands nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Waits,
    /// Its grant is in the mail.
    Granted,
    /// It holds its permit.
    Runs,
    /// It counts until the abort grace is over.
    Orphaned,
    /// Its refusal is in the mail.
    Refused,
}

/// Requests, where they stand, and whose they are.
pub type Fates = HashMap<Ticket, (Fate, Owner)>;

/// All that can be seen of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub fates: Fates,
    pub used: [Resources; 2],
    pub limits: [u32; 2],
    pub usable: [bool; 2],
    pub arrived: u64,
    /// Of those that wait: who was turned away later.
    pub turned_away: Vec<Ticket>,
}

impl Seen {
    /// Where requests stand, or what is known of their end.
    pub fn ends(&self) -> Fates {
        let end = |(&ticket, &(fate, owner)): (&Ticket, &(Fate, Owner))| {
            let is_over = self.turned_away.contains(&ticket);
            (ticket, (if is_over { Fate::Refused } else { fate }, owner))
        };
        self.fates.iter().map(end).collect()
    }
}

/// Takes the lock, looks at everything, and then serves all to the end. Panics if anything is lost,
/// or there twice.
pub fn look(stage: &Stage, now: Nanos) -> Seen {
    let admission = &stage.admission;
    let found = admission.invariants();
    assert!(found.ok, "{found:?}");
    let backends = [0, 1].map(|backend| admission.backend(backend).cap);
    assert!(admission.node_used(0) <= NODE);

    let mut fates = Fates::new();
    for owner in (0..WORKERS).map(owner).chain([NOBODY]) {
        let fate = if owner == NOBODY { Fate::Orphaned } else { Fate::Runs };
        for ticket in admission.permits_of(owner) {
            assert_eq!(fates.insert(ticket, (fate, owner)), None, "a permit has one owner");
        }
    }
    for (owner, notice) in mail(stage) {
        let (ticket, fate) = match notice {
            Notice::Granted(grant) => (grant.ticket, Fate::Granted),
            Notice::Refused(ticket, _) => (ticket, Fate::Refused),
        };
        let before = fates.insert(ticket, (fate, owner));
        let expected = (fate == Fate::Granted).then_some((Fate::Runs, owner));
        assert_eq!(before, expected, "a letter comes once, to the owner");
    }
    let mut turned_away = Vec::new();
    for (ticket, (answer, owner)) in serve(stage, now) {
        assert_eq!(fates.insert(ticket, (Fate::Waits, owner)), None, "what waits is served once");
        if answer == Fate::Refused {
            turned_away.push(ticket);
        }
    }
    Seen {
        fates,
        used: backends.map(|cap| cap.used),
        limits: backends.map(|cap| cap.limit().expect("backends have one")),
        usable: [0, 1].map(|backend| admission.is_usable(backend)),
        arrived: found.arrived,
        turned_away,
    }
}

/// The life of a worker is over in a segment that looked like this. Panics if others notice.
pub fn reclaim(stage: &Stage, dead: Owner, seen: &Seen, now: Nanos) {
    let admission = &stage.admission;
    admission.reclaim(dead, now);
    assert!(admission.invariants().ok);
    assert_eq!(admission.permits_of(dead), []);
    let held: Vec<Ticket> =
        (0..WORKERS).flat_map(|worker| admission.permits_of(owner(worker))).collect();
    let mut answers: Fates = mail(stage).map(answer).collect();
    answers.extend(serve(stage, now));
    for (ticket, &(fate, owner)) in &seen.fates {
        let got = answers.get(ticket);
        match fate {
            _ if owner == dead => assert_eq!(got, None, "nobody is there to be told"),
            Fate::Runs | Fate::Granted if !held.contains(ticket) => {
                panic!("a permit of the living: {ticket:?}");
            }
            Fate::Runs | Fate::Orphaned => assert_eq!(got, None),
            Fate::Refused => assert_eq!(got, Some(&(Fate::Refused, owner))),
            Fate::Waits if seen.turned_away.contains(ticket) => assert!(got.is_some()),
            Fate::Waits | Fate::Granted => assert_eq!(got, Some(&(Fate::Granted, owner))),
        }
    }
}

/// Ends what runs and all that comes after it, until everything is free. Returns the answers to what
/// had waited.
fn serve(stage: &Stage, mut now: Nanos) -> Fates {
    let admission = &stage.admission;
    let end = now + WAIT + GRACE;
    let mut answers = Fates::new();
    let running = (0..WORKERS).flat_map(|worker| admission.permits_of(owner(worker)));
    let mut running: Vec<Ticket> = running.collect();
    while !is_empty(stage) {
        assert!(now < end, "everything ends in time");
        for ticket in running.drain(..) {
            assert!(admission.release(ticket, Outcome::Success, now), "it is held until now");
        }
        now += 10 * MILLISECOND;
        admission.tick(now);
        for (ticket, said) in mail(stage).map(answer) {
            assert_eq!(answers.insert(ticket, said), None, "an answer comes once");
            if said.0 == Fate::Granted {
                running.push(ticket);
            }
        }
    }
    check_free(stage);
    answers
}

/// All letters, and to whom they are.
fn mail(stage: &Stage) -> impl Iterator<Item = (Owner, Notice)> {
    (0..WORKERS).flat_map(|worker| {
        stage.mail(worker).into_iter().map(move |notice| (owner(worker), notice))
    })
}

fn answer((owner, notice): (Owner, Notice)) -> (Ticket, (Fate, Owner)) {
    match notice {
        Notice::Granted(grant) => (grant.ticket, (Fate::Granted, owner)),
        Notice::Refused(ticket, _) => (ticket, (Fate::Refused, owner)),
    }
}

fn is_empty(stage: &Stage) -> bool {
    let queued = [0, 1].map(|tier| stage.admission.tier(tier).queued);
    let used = [0, 1].map(|backend| stage.admission.backend(backend).cap.used.slots);
    queued == [0, 0] && used == [0, 0]
}

fn check_free(stage: &Stage) {
    let admission = &stage.admission;
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
    /// One request, and with it whoever gets its room.
    One,
    /// Many, each by itself: when it is cut short, some are done and others not.
    Many,
}

impl Change {
    /// Panics unless `seen` is what an operation may leave that dies between `before` and `after`.
    pub fn judge(self, seen: &Seen, before: &Seen, after: &Seen) {
        if self == Change::One {
            let is_like = |other: &Seen| seen.fates == other.fates && seen.used == other.used;
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
            // A limit that is lowered leaves alone what runs.
            let most = limit.max(before.used[at].slots);
            assert!(seen.used[at].slots <= most, "{} of {most}", seen.used[at].slots);
        }
        // A death between a request's end and its being counted counts it twice, or not at all.
        let arrived = before.arrived - 1..=after.arrived + 1;
        assert!(arrived.contains(&seen.arrived), "{} of {arrived:?}", seen.arrived);
    }
}
