//! Who goes first: deadlines in a flow, cost between tenants, priorities, and tiers that share a backend.

use std::collections::{HashMap, VecDeque};

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, Candidates, Offer, PermitOutcome, Priority, Tenant, Ticket, TierLimits, Usage,
};
use penstock_testing::property;
use proptest::prelude::*;

use crate::fixture::{
    START, WAIT, backend, granted, grants, offer, one_tier, open, queued, sizes, tickets, tier,
};

/// A backlog that never ends: whenever a request of one kind goes, another of that kind comes.
struct Backlog {
    admission: Admission,
    kinds: Vec<Offer>,
    kind_of: HashMap<Ticket, usize>,
    running: VecDeque<Ticket>,
    now: Nanos,
}

impl Backlog {
    /// `depth` requests of each kind wait behind those that fill the slots.
    fn new(admission: Admission, kinds: Vec<Offer>, depth: usize) -> Self {
        let (kind_of, running) = (HashMap::new(), VecDeque::new());
        let mut backlog = Backlog { admission, kinds, kind_of, running, now: START };
        // Fills all slots first, so that no kind has an advantage from coming first.
        let all = backlog.admission.backend(0).cap.limit().expect("a limit");
        let plug = Offer { slots: all, ..backlog.kinds[0] };
        let plug = granted(backlog.admission.offer(&plug, START)).ticket;
        for kind in 0..backlog.kinds.len() {
            for _ in 0..depth {
                backlog.offer(kind);
            }
        }
        backlog.admission.release(plug, PermitOutcome::Dropped, START);
        backlog.refill();
        backlog
    }

    fn offer(&mut self, kind: usize) {
        let ticket = queued(self.admission.offer(&self.kinds[kind], self.now));
        self.kind_of.insert(ticket, kind);
    }

    /// Reads the grants, and offers as many of the same kinds. Returns the kinds.
    fn refill(&mut self) -> Vec<usize> {
        let new_grants = tickets(&grants(&self.admission));
        let kinds: Vec<usize> = new_grants.iter().map(|ticket| self.kind_of[ticket]).collect();
        self.running.extend(new_grants);
        for &kind in &kinds {
            self.offer(kind);
        }
        kinds
    }

    /// The oldest request ends, some time later.
    fn step(&mut self, time: Nanos) -> Vec<usize> {
        self.now += time;
        let oldest = self.running.pop_front().expect("someone runs");
        assert!(self.admission.release(oldest, PermitOutcome::Success, self.now));
        self.refill()
    }

    /// Grants by kind in this many steps. Time stands still, so that no priority rises.
    fn count(&mut self, steps: usize) -> Vec<usize> {
        let mut counts = vec![0; self.kinds.len()];
        for _ in 0..steps {
            for kind in self.step(0) {
                counts[kind] += 1;
            }
        }
        counts
    }
}

fn of_tenant(tenant: Tenant) -> Offer {
    Offer { tenant, ..offer() }
}

#[test]
fn a_flow_is_served_by_deadlines() {
    let mut limits = tier(&[0]);
    limits.first_token = Some(5 * SECOND);
    let admission = open(&sizes(vec![limits], vec![backend(1)]));
    let long = Offer { prompt: 4000, ..offer() };
    let mut now = START;
    for _ in 0..300 {
        let ticket = granted(admission.offer(&long, now)).ticket;
        now += 2 * SECOND;
        admission.first_token(ticket, now);
        admission.release(ticket, PermitOutcome::Success, now);
    }
    let running = granted(admission.offer(&offer(), now)).ticket;
    let short = queued(admission.offer(&offer(), now));
    let long = queued(admission.offer(&long, now + SECOND));
    admission.release(running, PermitOutcome::Success, now + SECOND);
    assert_eq!(tickets(&grants(&admission)), [long], "it came later, but has to begin earlier");
    admission.release(long, PermitOutcome::Success, now + SECOND);
    assert_eq!(tickets(&grants(&admission)), [short]);
}

#[test]
fn equal_deadlines_are_served_in_order_of_arrival() {
    let admission = one_tier(&[1]);
    let mut running = granted(admission.offer(&offer(), START)).ticket;
    let order: Vec<Ticket> = (0..50).map(|_| queued(admission.offer(&offer(), START))).collect();
    for next in order {
        admission.release(running, PermitOutcome::Success, START);
        assert_eq!(tickets(&grants(&admission)), [next]);
        running = next;
    }
}

/// With the usage that was reported: the gap between two tenants that always wait stays below twice the
/// cost of the largest request, and the error of the estimates in flight.
#[test]
fn two_tenants_that_always_wait_are_served_by_weight() {
    const SLOTS: u32 = 4;
    let request = (1u32..2000, 1u32..400, 0u32..400);
    let weights = (1u32..5, 1u32..5);
    let histories = (weights, prop::collection::vec((request.clone(), request), 50..300));
    property(200, &histories, |(weights, requests)| {
        let admission = one_tier(&[SLOTS]);
        let tenants = [
            Tenant { weight: weights.0, ..Tenant::named(7) },
            Tenant { weight: weights.1, ..Tenant::named(8) },
        ];
        let plug = Offer { slots: SLOTS, ..offer() };
        let plug = granted(admission.offer(&plug, START)).ticket;
        // As many of each as are served in all: neither ever stops waiting.
        let mut asked = HashMap::new();
        for &(first, second) in &requests {
            for (tenant, (prompt, most, output)) in [first, second].into_iter().enumerate() {
                let max_tokens = Some(most);
                let offer = Offer { prompt, max_tokens, ..of_tenant(tenants[tenant]) };
                let usage = Usage { prompt, cached: 0, output: output.min(most) };
                asked.insert(queued(admission.offer(&offer, START)), usage);
            }
        }
        admission.release(plug, PermitOutcome::Success, START);
        let largest = f64::from(2000 + 2 * 400);
        let lightest = f64::from(weights.0.min(weights.1));
        let bound = (2.0 + f64::from(SLOTS)) * largest / lightest;
        let mut running = VecDeque::new();
        for _ in 0..requests.len() - SLOTS as usize {
            running.extend(tickets(&grants(&admission)));
            prop_assert_eq!(running.len(), SLOTS as usize);
            let served = tenants
                .map(|tenant| admission.tenant_cost(&tenant) as f64 / f64::from(tenant.weight));
            let gap = (served[0] - served[1]).abs();
            prop_assert!(gap <= bound, "{} > {}", gap, bound);
            let ticket = running.pop_front().expect("all slots are in use");
            admission.settle(ticket, asked[&ticket]);
            prop_assert!(admission.release(ticket, PermitOutcome::Success, START));
        }
        Ok(())
    });
}

#[test]
fn a_tenant_back_from_idling_is_owed_nothing() {
    let busy = of_tenant(Tenant::named(7));
    let mut backlog = Backlog::new(one_tier(&[2]), vec![busy], 20);
    backlog.count(500);
    let late = of_tenant(Tenant::named(8));
    backlog.kinds.push(late);
    (0..20).for_each(|_| backlog.offer(1));
    let counts = backlog.count(40);
    assert!((18..=22).contains(&counts[1]), "{counts:?}");
}

#[test]
fn small_requests_are_not_crowded_out_by_large_ones() {
    let small = Offer { prompt: 100, max_tokens: Some(50), ..of_tenant(Tenant::named(7)) };
    let large = Offer { prompt: 8000, max_tokens: Some(50), ..of_tenant(Tenant::named(8)) };
    let mut backlog = Backlog::new(one_tier(&[8]), vec![small, large], 100);
    let counts = backlog.count(400);
    // 200 cost units against 8,100: for each large one about forty small ones.
    assert!((8..=12).contains(&counts[1]), "{counts:?}");
}

#[test]
fn ten_thousand_requests_of_one_tenant_do_not_delay_another() {
    let mut limits = tier(&[0]);
    limits.tenant_requests = 10_000;
    let mut sizes = sizes(vec![limits], vec![backend(4)]);
    sizes.rows = 20_000;
    let mut backlog = Backlog::new(open(&sizes), vec![of_tenant(Tenant::named(7))], 9_990);
    (0..10).for_each(|_| backlog.offer(0));
    let refused = crate::fixture::refused(backlog.admission.offer(&backlog.kinds[0], START));
    assert_eq!(refused.why, penstock_admission::Refusal::QueueFull);
    backlog.kinds.push(of_tenant(Tenant::named(8)));
    (0..50).for_each(|_| backlog.offer(1));
    let counts = backlog.count(100);
    assert!(counts[1] >= 48, "half of what is served: {counts:?}");
    assert!(backlog.admission.invariants().ok);
}

#[test]
fn high_priority_goes_first_up_to_its_part_and_the_rest_by_weight() {
    let kinds = [Priority::High, Priority::Normal, Priority::Low]
        .map(|priority| Offer { priority, ..offer() });
    let mut backlog = Backlog::new(one_tier(&[20]), kinds.to_vec(), 60);
    let priority = |ticket: &Ticket| backlog.kind_of[ticket];
    let first: Vec<usize> = backlog.running.iter().map(priority).collect();
    assert_eq!(first[..16], [0; 16], "four fifths of 20");
    let counts = backlog.count(1200);
    assert!((940..=980).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[2], 0, "above 85 % low priority gets nothing");
    // But its priority rises, and then it gets a part of the normal one's.
    let mut low = 0;
    for _ in 0..1200 {
        low += backlog.step(10 * MILLISECOND).iter().filter(|&&kind| kind == 2).count();
        backlog.admission.tick(backlog.now);
    }
    assert!(low > 0, "it starves");
}

#[test]
fn low_priority_leaves_room_for_bursts() {
    let admission = one_tier(&[20]);
    let low = Offer { priority: Priority::Low, ..offer() };
    for _ in 0..17 {
        granted(admission.offer(&low, START));
    }
    queued(admission.offer(&low, START));
    assert_eq!(grants(&admission), [], "85 % of 20");
    queued(admission.offer(&offer(), START));
    assert_eq!(grants(&admission).len(), 1, "others may fill it");
}

#[test]
fn after_half_of_its_wait_a_request_rises_in_priority() {
    let urgent = Offer { priority: Priority::High, ..of_tenant(Tenant::named(7)) };
    // With one slot, high priority never has its part in use, so nobody else would ever be served.
    let mut backlog = Backlog::new(one_tier(&[1]), vec![urgent], 20);
    let old = queued(backlog.admission.offer(&of_tenant(Tenant::named(8)), START));
    backlog.kinds.push(of_tenant(Tenant::named(8)));
    backlog.kind_of.insert(old, 1);
    let mut waited = 0;
    while backlog.step(10 * MILLISECOND) == [0] {
        backlog.admission.tick(backlog.now);
        waited = backlog.now - START;
        assert!(waited < WAIT, "not served in time");
    }
    assert!((WAIT / 2..WAIT / 2 + SECOND).contains(&waited), "{waited}");
}

fn shared_by_tiers(slots: u32, shares: [u32; 2]) -> Backlog {
    let limits = shares.map(|share| TierLimits { share, ..tier(&[0]) });
    let admission = open(&sizes(limits.to_vec(), vec![backend(slots)]));
    let kinds = (0..2).map(|tier| Offer { tier, ..offer() }).collect();
    Backlog::new(admission, kinds, 50)
}

#[test]
fn tiers_on_one_backend_are_served_by_share() {
    let counts = shared_by_tiers(20, [4, 1]).count(1000);
    assert!((780..=820).contains(&counts[0]), "{counts:?}");
    let counts = shared_by_tiers(20, [1, 1]).count(1000);
    assert!((490..=510).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_tier_with_a_small_share_has_one_slot_at_least() {
    let mut backlog = shared_by_tiers(4, [1000, 1]);
    for _ in 0..100 {
        backlog.step(0);
        let used = [0, 1].map(|tier| backlog.admission.inflight(tier, 0));
        assert_eq!(used, [3, 1]);
    }
}

/// Eight go before one that does not fit, then a backend is reserved for it.
#[test]
fn a_wide_request_is_bypassed_eight_times_at_most() {
    let mut backlog = Backlog::new(one_tier(&[4]), vec![offer()], 20);
    let wide = Offer { slots: 4, ..of_tenant(Tenant::named(8)) };
    let wide = queued(backlog.admission.offer(&wide, START));
    backlog.kinds.push(offer());
    backlog.kind_of.insert(wide, 1);
    let mut passed = 0;
    while !backlog.running.is_empty() {
        let oldest = backlog.running.pop_front().expect("someone runs");
        backlog.admission.release(oldest, PermitOutcome::Success, START);
        let new_grants = tickets(&grants(&backlog.admission));
        if new_grants == [wide] {
            break;
        }
        passed += new_grants.len();
        backlog.running.extend(new_grants);
    }
    assert_eq!(passed, 8);
    assert_eq!(backlog.admission.backend(0).cap.used.slots, 4);
}

#[test]
fn a_wide_request_is_bypassed_for_a_quarter_of_a_second_at_most() {
    let admission = one_tier(&[4, 4]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let mut running: VecDeque<_> = (0..8).map(|_| granted(admission.offer(&both, START))).collect();
    let wide = queued(admission.offer(&Offer { slots: 4, ..both }, START));
    let mut step = |now: Nanos| {
        let oldest = running.pop_front().expect("someone runs");
        admission.release(oldest.ticket, PermitOutcome::Success, now);
        admission.offer(&both, now);
        let new_grants = grants(&admission);
        running.extend(&new_grants);
        new_grants
    };
    assert_eq!(step(START).len(), 1);
    assert_eq!(step(START + 249 * MILLISECOND).len(), 1);
    // From now on one backend is reserved, and the other stays in use.
    let mut passed = 0;
    for _ in 0..8 {
        let new_grants = step(START + 251 * MILLISECOND);
        if new_grants.iter().any(|grant| grant.ticket == wide) {
            assert!(passed <= 4, "{passed}");
            return;
        }
        passed += new_grants.len();
    }
    panic!("it was never let in");
}

/// The next tier finds the backend reserved for another tier's request. That request is then granted
/// another one, and the reservation ends.
#[test]
fn a_cancelled_reservation_lets_other_tiers_in_at_once() {
    let admission = open(&sizes(vec![tier(&[0]), tier(&[0])], vec![backend(7)]));
    let first = granted(admission.offer(&Offer { slots: 2, ..offer() }, START)).ticket;
    granted(admission.offer(&offer(), START));
    // The second tier has been served more, so the first one comes before it.
    granted(admission.offer(&Offer { tier: 1, prompt: 5000, ..offer() }, START));
    let wide = queued(admission.offer(&Offer { tier: 1, slots: 4, ..offer() }, START));
    let now = START + 250 * MILLISECOND;
    admission.tick(now);
    let small = queued(admission.offer(&offer(), now));
    assert_eq!(grants(&admission), [], "three slots are free, and kept for the wide one");
    admission.release(first, PermitOutcome::Success, now);
    assert_eq!(tickets(&grants(&admission)), [wide, small]);
}
