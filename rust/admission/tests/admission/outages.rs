//! Backends that requests do not reach: who waits for how long, and which request is the trial.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, Candidates, Fault, Grant, Health, Offer, PermitOutcome, Proof, Refusal, Ticket,
};

use crate::fixture::{
    START, WAIT, granted, grants, offer, one_tier, queued, refusals, refused, tickets,
};

/// A connection failed: its backend is closed, and the request is requeued.
fn connection_failed(admission: &Admission, ticket: Ticket, fault: Fault, now: Nanos) {
    admission.fail(0, fault, now);
    assert!(admission.requeue(ticket, now));
}

/// Lets time pass in steps of 10 ms until something is granted.
fn next_grants(admission: &Admission, now: &mut Nanos) -> Vec<Grant> {
    loop {
        *now += 10 * MILLISECOND;
        admission.tick(*now);
        let new_grants = grants(admission);
        if !new_grants.is_empty() {
            return new_grants;
        }
        assert!(*now < START + WAIT, "nothing was granted");
    }
}

#[test]
fn a_restart_leaves_the_queue_as_it_was() {
    let admission = one_tier(&[3]);
    let running: Vec<Ticket> =
        (0..3).map(|_| granted(admission.offer(&offer(), START)).ticket).collect();
    let waiting: Vec<Ticket> = (0..20).map(|_| queued(admission.offer(&offer(), START))).collect();
    // The engine dies with what it runs; the next connections are refused.
    for ticket in running {
        admission.release(ticket, PermitOutcome::Dropped, START);
    }
    let refused_at_first = grants(&admission);
    assert_eq!(tickets(&refused_at_first), waiting[..3]);
    for grant in &refused_at_first {
        connection_failed(&admission, grant.ticket, Fault::Refused, START);
    }
    // One trial at a time, after growing pauses, and always the next request.
    let (mut now, mut before, mut pauses) = (START, START, Vec::new());
    while now < START + 3 * SECOND {
        let new_grants = next_grants(&admission, &mut now);
        assert_eq!(tickets(&new_grants), waiting[..1]);
        assert!(new_grants[0].is_trial);
        pauses.push((now - before) / MILLISECOND);
        before = now;
        connection_failed(&admission, new_grants[0].ticket, Fault::Refused, now);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600]);
    // It is back: the trial gets through, and then all that fit.
    let new_grants = next_grants(&admission, &mut now);
    assert_eq!(tickets(&new_grants), waiting[..1]);
    let lasted = admission.reached(0, Proof::Connected, now).expect("it was out");
    assert_eq!(lasted, now - START);
    assert_eq!(tickets(&grants(&admission)), waiting[1..3]);
    assert!(admission.invariants().ok);
    assert_eq!(admission.reached(0, Proof::Connected, now), None, "once");
}

#[test]
fn the_pause_grows_to_2_s_and_no_further() {
    let (mut now, mut pauses) = (START, Vec::new());
    let admission = one_tier(&[1]);
    for _ in 0..8 {
        admission.fail(0, Fault::Refused, now);
        let begin = now;
        let ticket = queued(admission.offer(&offer(), now));
        while grants(&admission).is_empty() {
            now += 10 * MILLISECOND;
            admission.tick(now);
        }
        admission.release(ticket, PermitOutcome::Dropped, now);
        pauses.push((now - begin) / MILLISECOND);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
}

#[test]
fn at_its_deadline_a_request_hears_that_no_backend_was_there() {
    let admission = one_tier(&[1]);
    let ticket = granted(admission.offer(&offer(), START)).ticket;
    connection_failed(&admission, ticket, Fault::Refused, START);
    admission.set_health(0, Health::Down, START + SECOND);
    admission.tick(START + WAIT - MILLISECOND);
    assert_eq!(refusals(&admission), [], "it may come back until then");
    assert_eq!(refused(admission.offer(&offer(), START + SECOND)).why, Refusal::NoBackend);
    admission.tick(START + WAIT + 10 * MILLISECOND);
    assert_eq!(refusals(&admission), [(ticket, Refusal::NoBackend)]);
}

#[test]
fn after_a_refused_connection_a_request_goes_to_another_backend_at_once_even_after_its_deadline() {
    let admission = one_tier(&[1, 1]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let Grant { ticket, backend, .. } = granted(admission.offer(&both, START));
    let late = START + 2 * WAIT;
    admission.fail(backend, Fault::Refused, late);
    assert!(admission.requeue(ticket, late));
    let new_grants = grants(&admission);
    assert_eq!(
        (new_grants[0].ticket, new_grants[0].backend, new_grants[0].is_trial),
        (ticket, 1 - backend, false)
    );
    assert!(!admission.requeue(Ticket { row: 7, generation: 9 }, late), "no such permit");
}

#[test]
fn failures_of_one_event_count_once() {
    let admission = one_tier(&[8]);
    let running: Vec<Ticket> =
        (0..8).map(|_| granted(admission.offer(&offer(), START)).ticket).collect();
    assert!(admission.fail(0, Fault::Died, START));
    for ticket in &running {
        assert!(!admission.fail(0, Fault::Died, START + MILLISECOND));
        admission.release(*ticket, PermitOutcome::Dropped, START + MILLISECOND);
    }
    let ticket = queued(admission.offer(&offer(), START + MILLISECOND));
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), [ticket]);
    assert_eq!(now - START, 50 * MILLISECOND);
}

#[test]
fn behind_an_open_port_a_connection_proves_nothing() {
    let admission = one_tier(&[4]);
    admission.fail(0, Fault::Died, START);
    let waiting: Vec<Ticket> = (0..4).map(|_| queued(admission.offer(&offer(), START))).collect();
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1]);
    assert_eq!(admission.reached(0, Proof::Connected, now), None);
    assert_eq!(grants(&admission), [], "one at a time");
    assert!(admission.reached(0, Proof::Answered, now).is_some());
    assert_eq!(tickets(&grants(&admission)), waiting[1..]);
}

#[test]
fn a_good_probe_ends_an_outage_unless_connections_were_reset() {
    let admission = one_tier(&[4]);
    assert_eq!(admission.set_health(0, Health::Healthy, START), None, "it was well");
    admission.fail(0, Fault::Refused, START);
    assert_eq!(admission.set_health(0, Health::Healthy, START + SECOND), Some(SECOND));
    let start = START + 2 * SECOND;
    admission.fail(0, Fault::Died, start);
    assert_eq!(admission.set_health(0, Health::Healthy, start + SECOND), None);
    for _ in 0..2 {
        admission.offer(&offer(), start + SECOND);
    }
    assert_eq!(
        grants(&admission).len() + admission.backend(0).cap.used.slots as usize,
        1,
        "one at a time"
    );
    // It was down, so what answers now is another process.
    admission.set_health(0, Health::Down, start + 2 * SECOND);
    let lasted = admission.set_health(0, Health::Healthy, start + 3 * SECOND);
    assert_eq!(lasted, Some(3 * SECOND));
}

#[test]
fn streams_from_before_do_not_end_an_outage_of_refused_connections() {
    let admission = one_tier(&[4]);
    let old = granted(admission.offer(&offer(), START)).ticket;
    admission.fail(0, Fault::Refused, START);
    let waiting: Vec<Ticket> = (0..3).map(|_| queued(admission.offer(&offer(), START))).collect();
    assert_eq!(admission.reached(0, Proof::Answered, START), None);
    admission.first_token(old, START);
    admission.release(old, PermitOutcome::Success, START);
    assert_eq!(grants(&admission), [], "the pause holds");
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1], "one at a time");
    admission.first_token(waiting[0], now);
    assert_eq!(tickets(&grants(&admission)), waiting[1..], "what was sent since is answered");
}

#[test]
fn behind_an_open_port_a_request_that_survives_ends_the_outage() {
    let admission = one_tier(&[4]);
    admission.fail(0, Fault::Died, START);
    let waiting: Vec<Ticket> = (0..4).map(|_| queued(admission.offer(&offer(), START))).collect();
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1]);
    assert!(admission.reached(0, Proof::Survived, now).is_some());
    assert_eq!(tickets(&grants(&admission)), waiting[1..]);
    for fault in [Fault::Refused, Fault::Unreachable, Fault::Unavailable] {
        let admission = one_tier(&[4]);
        (0..3).for_each(|_| _ = admission.fail(0, fault, START));
        assert_eq!(admission.reached(0, Proof::Survived, START + SECOND), None, "{fault:?}");
    }
}

#[test]
fn a_trial_without_an_outcome_gives_way_after_a_while() {
    let admission = one_tier(&[4]);
    admission.fail(0, Fault::Unreachable, START);
    let waiting: Vec<Ticket> = (0..2).map(|_| queued(admission.offer(&offer(), START))).collect();
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1]);
    let tried = now;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[1..], "its worker is stopped");
    assert_eq!(now - tried, 5 * SECOND);
    assert!(admission.invariants().ok);
}

#[test]
fn three_unavailable_answers_in_a_row_are_an_outage() {
    let admission = one_tier(&[4]);
    let old = granted(admission.offer(&offer(), START)).ticket;
    let mut now = START;
    for _ in 0..2 {
        for _ in 0..2 {
            assert!(!admission.fail(0, Fault::Unavailable, now), "it may be for its own reasons");
        }
        assert!(admission.load(0).is_suspected && !admission.load(0).has_outage);
        assert_eq!(admission.answered(old, now), None);
        assert!(admission.load(0).is_suspected, "of what was sent before it proves nothing");
        now += MILLISECOND;
        let since = granted(admission.offer(&offer(), now)).ticket;
        assert_eq!(admission.answered(since, now), None);
        assert!(!admission.load(0).is_suspected, "others are answered in between");
        admission.release(since, PermitOutcome::Success, now);
    }
    let begins: Vec<bool> = (0..5).map(|_| admission.fail(0, Fault::Unavailable, now)).collect();
    assert_eq!(begins, [false, false, true, false, false]);
    assert!(admission.load(0).has_outage);
    let began = now;
    let waiting: Vec<Ticket> = (0..3).map(|_| queued(admission.offer(&offer(), now))).collect();
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1]);
    // A proxy in front of the server accepts connections, and lets old streams continue.
    assert_eq!(admission.reached(0, Proof::Connected, now), None);
    assert_eq!(admission.answered(old, now), None);
    admission.first_token(old, now);
    assert_eq!(grants(&admission), []);
    assert_eq!(admission.answered(waiting[0], now), Some(now - began));
    assert!(!admission.load(0).is_suspected);
    assert_eq!(tickets(&grants(&admission)), waiting[1..]);
}

#[test]
fn bytes_read_after_a_crash_were_sent_before_it() {
    let admission = one_tier(&[4]);
    let old = granted(admission.offer(&offer(), START)).ticket;
    admission.fail(0, Fault::Died, START);
    assert_eq!(admission.answered(old, START + 49 * MILLISECOND), None);
    assert!(admission.answered(old, START + 50 * MILLISECOND).is_some(), "it lives on");
}

#[test]
fn a_trial_whose_worker_dies_gives_way_to_another() {
    let admission = one_tier(&[4]);
    let worker = offer().owner.worker;
    admission.fail(0, Fault::Refused, START);
    let first = queued(admission.offer(&offer(), START));
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), [first]);
    admission.reclaim(offer().owner, now);
    let generation = admission.begin_worker(worker);
    let owner = penstock_admission::Owner { worker, generation };
    let second = queued(admission.offer(&Offer { owner, ..offer() }, now));
    assert_eq!(tickets(&next_grants(&admission, &mut now)), [second], "after the grace");
    assert!(admission.invariants().ok);
}

#[test]
fn a_rebuild_keeps_the_trial() {
    let admission = one_tier(&[4]);
    admission.fail(0, Fault::Refused, START);
    let waiting: Vec<Ticket> = (0..3).map(|_| queued(admission.offer(&offer(), START))).collect();
    let mut now = START;
    assert_eq!(tickets(&next_grants(&admission, &mut now)), waiting[..1]);
    admission.rebuild();
    admission.tick(now + SECOND);
    assert_eq!(grants(&admission), [], "still one");
    assert!(admission.invariants().ok);
    admission.reached(0, Proof::Connected, now + SECOND);
    admission.rebuild();
    assert_eq!(tickets(&grants(&admission)), waiting[1..]);
}
