//! Requests that are refused on arrival, and what they are told.

use std::collections::VecDeque;

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Decision, Offer, PermitOutcome, Priority, Refusal, Refused, Tenant,
    Ticket, TokenLimit,
};

use crate::fixture::{
    START, WAIT, backend, granted, grants, offer, one_tier, open, queued, refusals, refused, sizes,
    tickets, tier,
};

/// A backend that ends ten requests a second, and whose rate is known.
struct Server {
    admission: Admission,
    running: VecDeque<Ticket>,
    now: Nanos,
}

impl Server {
    const SLOTS: u32 = 10;
    const TURN: Nanos = 100 * MILLISECOND;

    fn new() -> Self {
        let admission = one_tier(&[Self::SLOTS]);
        let mut server = Server { admission, running: VecDeque::new(), now: START };
        for _ in 0..Self::SLOTS {
            server.running.push_back(granted(server.admission.offer(&offer(), START)).ticket);
        }
        while server.admission.tier(0).speed.is_none() {
            server.offer(&offer());
            server.turn();
            assert!(server.now < START + 60 * SECOND, "it learns its speed");
        }
        while server.turn() == 1 {}
        server.refill();
        server
    }

    fn offer(&mut self, offer: &Offer) -> Decision {
        self.admission.offer(offer, self.now)
    }

    /// Fills all slots, with nothing waiting.
    fn refill(&mut self) {
        while self.running.len() < Self::SLOTS as usize {
            let grant = granted(self.admission.offer(&offer(), self.now));
            self.running.push_back(grant.ticket);
        }
    }

    /// The oldest one ends. Returns how many were granted.
    fn turn(&mut self) -> usize {
        self.now += Self::TURN;
        self.admission.tick(self.now);
        let oldest = self.running.pop_front().expect("someone runs");
        self.admission.release(oldest, PermitOutcome::Success, self.now);
        let new_grants = tickets(&grants(&self.admission));
        self.running.extend(&new_grants);
        new_grants.len()
    }

    /// Offers until one is refused. Returns how many were queued.
    fn flood(&mut self, offer: &Offer) -> (usize, Refused) {
        for count in 0..10_000 {
            match self.offer(offer) {
                Decision::Queued(_) => {}
                Decision::Refused(refused) => return (count, refused),
                Decision::Granted(grant) => panic!("{grant:?}"),
            }
        }
        panic!("never refused");
    }
}

#[test]
fn only_a_request_that_would_wait_too_long_is_refused_on_arrival() {
    let mut server = Server::new();
    let (queued, refused) = server.flood(&offer());
    // Ten a second, for nine tenths of ten seconds.
    assert!((84..=96).contains(&queued), "{queued}");
    assert_eq!(refused.why, Refusal::Unmeetable);
    let in_time: usize = (0..queued).map(|_| server.turn()).sum();
    assert_eq!(in_time, queued, "who was let wait is served in time");
    assert_eq!(refusals(&server.admission), []);
}

#[test]
fn the_retry_time_is_when_the_queue_will_be_served() {
    let mut server = Server::new();
    let (queued, first) = server.flood(&offer());
    let drain = (queued as u64 + 1) * Server::TURN;
    // A fifth in both directions, and a twentieth for the error of the measured rate.
    let (mut least, mut most) = (Nanos::MAX, 0);
    for _ in 0..300 {
        let refused = refused(server.offer(&offer()));
        least = least.min(refused.retry_after);
        most = most.max(refused.retry_after);
    }
    assert!(least >= drain * 76 / 100 && most <= drain * 126 / 100, "{least} to {most}: {drain}");
    assert!(most - least > drain * 30 / 100, "spread, so that they do not come back together");
    assert_eq!(first.saturated_for, 0);
    server.turn();
    assert_eq!(refused_for(&mut server), Server::TURN);
}

/// For how long the tier has been refusing requests, as the next one is told.
fn refused_for(server: &mut Server) -> Nanos {
    server.flood(&offer()).1.saturated_for
}

#[test]
fn saturation_ends_when_the_queue_does() {
    let mut server = Server::new();
    let (queued, _) = server.flood(&offer());
    for _ in 0..=queued {
        server.turn();
    }
    server.refill();
    assert_eq!(refused_for(&mut server), 0);
}

#[test]
fn only_what_would_be_served_before_counts() {
    let mut server = Server::new();
    server.flood(&Offer { tenant: Tenant::named(7), ..offer() });
    let urgent = Offer { priority: Priority::High, ..offer() };
    let (ahead, _) = server.flood(&urgent);
    assert!((84..=96).contains(&ahead), "{ahead}: the others wait behind them");
    let mut server = Server::new();
    server.flood(&Offer { tenant: Tenant::named(7), ..offer() });
    let (fair, _) = server.flood(&Offer { tenant: Tenant::named(8), ..offer() });
    assert!((40..=50).contains(&fair), "{fair}: half of what is served is its own");
}

/// There are free slots all the time, but no KV memory for them.
#[test]
fn a_request_that_would_wait_too_long_for_memory_is_refused_on_arrival() {
    let limits = BackendLimits { kv: TokenLimit::Tokens(2000), ..backend(100) };
    let admission = open(&sizes(vec![tier(&[0])], vec![limits]));
    let mut running: VecDeque<Ticket> =
        (0..10).map(|_| granted(admission.offer(&offer(), START)).ticket).collect();
    // Ten a second are served, thirty arrive.
    let (mut waiting, mut refused_count) = (0, 0);
    for step in 1..600 {
        let now = START + step * 100 * MILLISECOND;
        admission.tick(now);
        for _ in 0..3 {
            match admission.offer(&offer(), now) {
                Decision::Queued(_) => waiting += 1,
                Decision::Refused(refused) => {
                    assert_eq!(refused.why, Refusal::Unmeetable);
                    refused_count += 1;
                }
                Decision::Granted(grant) => panic!("{grant:?}"),
            }
        }
        let oldest = running.pop_front().expect("someone runs");
        admission.release(oldest, PermitOutcome::Success, now);
        let new_grants = grants(&admission);
        assert_eq!(new_grants.len(), 1, "and nobody waits in vain");
        running.extend(tickets(&new_grants));
    }
    assert!(refused_count > waiting, "{refused_count}, {waiting}");
}

#[test]
fn no_request_is_refused_while_the_rate_is_unknown() {
    let admission = one_tier(&[1]);
    granted(admission.offer(&offer(), START));
    for _ in 0..500 {
        queued(admission.offer(&offer(), START));
    }
}

/// Before a rate is known: waits that have been too long for a whole deadline.
#[test]
fn before_the_rate_is_known_long_waits_refuse_others() {
    let admission = one_tier(&[1]);
    let mut running = granted(admission.offer(&offer(), START)).ticket;
    let mut refused_at = None;
    for second in 0..40u64 {
        let now = START + second * SECOND;
        admission.tick(now);
        for _ in 0..2 {
            if let Decision::Refused(refused) = admission.offer(&offer(), now) {
                assert_eq!(refused.why, Refusal::Unmeetable);
                refused_at.get_or_insert((now, admission.tier(0).speed));
            }
        }
        admission.release(running, PermitOutcome::Success, now);
        for notification in crate::fixture::notifications(&admission, 0) {
            if let penstock_admission::Notification::Granted(grant) = notification {
                running = grant.ticket;
            }
        }
    }
    let (refused_at, speed) = refused_at.expect("two come where one is served");
    let refused_at = refused_at - START;
    assert_eq!(speed, None);
    // Waits pass 2 s, a fifth of the deadline, after 4 s, and stay so for 10 s.
    assert!((13 * SECOND..17 * SECOND).contains(&refused_at), "{refused_at}");
}

#[test]
fn long_prompts_are_refused_by_the_prefill_rate() {
    let limits = BackendLimits { prefill: TokenLimit::Tokens(4096), ..backend(1000) };
    let admission = open(&sizes(vec![tier(&[0])], vec![limits]));
    let long = Offer { prompt: 3000, ..offer() };
    let mut now = START;
    for _ in 0..40 {
        let ticket = granted(admission.offer(&long, now)).ticket;
        now += 100 * MILLISECOND;
        admission.first_token(ticket, now);
        admission.release(ticket, PermitOutcome::Success, now);
    }
    let rate = admission.backend(0).prefill_rate.expect("it has read enough");
    assert!((rate - 30_000.0).abs() < 1000.0, "{rate}");
    granted(admission.offer(&long, now));
    let queue = (0..1000).map_while(|_| match admission.offer(&long, now) {
        Decision::Queued(_) => Some(()),
        Decision::Refused(refused) => {
            assert_eq!(refused.why, Refusal::Unmeetable);
            None
        }
        Decision::Granted(grant) => panic!("{grant:?}"),
    });
    let queued = queue.count();
    // 270,000 tokens in 9 s.
    assert!((85..=95).contains(&queued), "{queued}");
}

/// A request may wait for what the service level leaves after its prefill.
#[test]
fn a_service_level_shortens_the_wait() {
    let mut limits = tier(&[0]);
    limits.first_token = Some(3 * SECOND);
    let admission = open(&sizes(vec![limits], vec![backend(1)]));
    let running = granted(admission.offer(&offer(), START)).ticket;
    admission.first_token(running, START + SECOND);
    let now = START + SECOND;
    let waits = queued(admission.offer(&offer(), now));
    // Such prompts take 1 s, so 2 s are left.
    admission.tick(now + 1800 * MILLISECOND);
    assert_eq!(refusals(&admission), []);
    admission.tick(now + 2005 * MILLISECOND);
    assert_eq!(refusals(&admission), [(waits, Refusal::Expired)]);
}

#[test]
fn nothing_is_granted_at_its_deadline() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    let late = queued(admission.offer(&offer(), START));
    let next = queued(admission.offer(&offer(), START + MILLISECOND));
    admission.release(running, PermitOutcome::Success, START + WAIT);
    let notifications = crate::fixture::notifications(&admission, 0);
    assert_eq!(notifications.len(), 2, "{notifications:?}");
    assert_eq!(admission.permits_of(offer().owner), [next]);
    assert!(!admission.cancel(late, START + WAIT));
}
