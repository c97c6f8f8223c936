//! Prompt tokens in flight, KV memory that is reserved, and the cost of both.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Offer, PermitOutcome, Refusal, Resources, Tenant, Ticket, TokenLimit,
    Usage,
};

use crate::fixture::{
    START, backend, granted, grants, offer, one_tier, open, queued, refusals, refused, sizes,
    tickets, tier,
};

fn with(prefill: TokenLimit, kv: TokenLimit) -> Admission {
    let limits = BackendLimits { prefill, kv, ..backend(10) };
    open(&sizes(vec![tier(&[0])], vec![limits]))
}

fn used(admission: &Admission) -> Resources {
    admission.backend(0).cap.used
}

fn ask(prompt: u32, output: u32) -> Offer {
    Offer { prompt, max_tokens: Some(output), ..offer() }
}

#[test]
fn prefill_stays_within_its_limit_and_the_first_token_makes_room() {
    let admission = with(TokenLimit::Tokens(1000), TokenLimit::None);
    let first = granted(admission.offer(&ask(600, 10), START)).ticket;
    let second = queued(admission.offer(&ask(600, 10), START));
    let third = queued(admission.offer(&ask(400, 10), START));
    assert_eq!(tickets(&grants(&admission)), [third], "it fits beside the first");
    admission.first_token(first, START);
    assert_eq!(tickets(&grants(&admission)), [second]);
    assert_eq!(used(&admission).prefill, 1000);
    assert_eq!(used(&admission).slots, 3);
}

#[test]
fn a_prompt_beyond_the_prefill_limit_runs_its_prefill_alone() {
    let admission = with(TokenLimit::Tokens(1000), TokenLimit::None);
    let small = granted(admission.offer(&ask(1, 10), START)).ticket;
    let large = queued(admission.offer(&ask(5000, 10), START));
    assert_eq!(grants(&admission), []);
    admission.first_token(small, START);
    assert_eq!(tickets(&grants(&admission)), [large]);
    let next = queued(admission.offer(&ask(1, 10), START));
    admission.first_token(large, START);
    assert_eq!(tickets(&grants(&admission)), [next]);
}

#[test]
fn what_ends_without_a_first_token_gives_everything_back() {
    let admission = with(TokenLimit::Tokens(1000), TokenLimit::Tokens(1000));
    for outcome in [PermitOutcome::Success, PermitOutcome::Dropped, PermitOutcome::Ignored] {
        let ticket = granted(admission.offer(&ask(900, 50), START)).ticket;
        assert!(admission.release(ticket, outcome, START));
        admission.first_token(ticket, START);
        assert_eq!(used(&admission), Resources::default());
    }
}

/// Without a stream no first token is seen: the prefill counts for as long as such prompts take.
#[test]
fn without_a_stream_prefill_counts_for_its_expected_time() {
    let admission = with(TokenLimit::Tokens(10_000), TokenLimit::None);
    let whole = Offer { streams: false, ..ask(10_000, 10) };
    granted(admission.offer(&whole, START));
    let next = queued(admission.offer(&ask(10_000, 10), START));
    // 10,000 a second is assumed while no rate is known.
    admission.tick(START + 995 * MILLISECOND);
    assert_eq!(grants(&admission), []);
    admission.tick(START + 1000 * MILLISECOND);
    assert_eq!(tickets(&grants(&admission)), [next]);
    // Ten times as fast, as streams show.
    let mut now = START + 2 * SECOND;
    admission.release(next, PermitOutcome::Success, now);
    for _ in 0..300 {
        let ticket = granted(admission.offer(&ask(10_000, 10), now)).ticket;
        now += 100 * MILLISECOND;
        admission.first_token(ticket, now);
        admission.release(ticket, PermitOutcome::Success, now);
    }
    let ticket = granted(admission.offer(&whole, now)).ticket;
    admission.tick(now + 90 * MILLISECOND);
    assert_eq!(used(&admission).prefill, 10_000);
    admission.tick(now + 150 * MILLISECOND);
    assert_eq!(used(&admission).prefill, 0);
    assert!(admission.release(ticket, PermitOutcome::Success, now + SECOND));
}

#[test]
fn a_prompt_that_no_memory_can_hold_is_refused() {
    let admission = with(TokenLimit::None, TokenLimit::Tokens(1000));
    let answer = refused(admission.offer(&ask(1001, 1), START));
    assert_eq!(answer.why, Refusal::TooLong { most: 1000 });
    granted(admission.offer(&ask(1000, 1), START));
}

#[test]
fn what_may_outgrow_the_memory_runs_alone() {
    let admission = with(TokenLimit::None, TokenLimit::Tokens(1000));
    let large = granted(admission.offer(&ask(900, 500), START)).ticket;
    let small = queued(admission.offer(&ask(1, 1), START));
    assert_eq!(grants(&admission), []);
    admission.release(large, PermitOutcome::Success, START);
    assert_eq!(tickets(&grants(&admission)), [small]);
    let large = queued(admission.offer(&ask(900, 500), START));
    assert_eq!(grants(&admission), []);
    admission.release(small, PermitOutcome::Success, START);
    assert_eq!(tickets(&grants(&admission)), [large]);
}

#[test]
fn growth_is_never_refused_and_keeps_others_out() {
    let admission = with(TokenLimit::None, TokenLimit::Tokens(1000));
    let long = granted(admission.offer(&ask(100, 100), START)).ticket;
    admission.grow(long, 2000);
    assert_eq!(used(&admission).kv, 2200);
    let waits = queued(admission.offer(&ask(100, 100), START));
    assert_eq!(grants(&admission), []);
    // The backend reports the usage itself.
    admission.settle(long, Usage { prompt: 120, cached: 0, output: 700 });
    assert_eq!(used(&admission).kv, 820);
    admission.tick(START + SECOND);
    assert_eq!(grants(&admission), [], "820 + 200 is still too much");
    admission.release(long, PermitOutcome::Success, START + SECOND);
    assert_eq!(tickets(&grants(&admission)), [waits]);
}

#[test]
fn reports_count_once_and_only_of_those_who_run() {
    let admission = one_tier(&[1]);
    let first = granted(admission.offer(&ask(5, 2), START)).ticket;
    let second = queued(admission.offer(&ask(5, 2), START));
    let usage = Usage { prompt: 50, cached: 0, output: 50 };
    let report = |ticket: Ticket| {
        admission.first_token(ticket, START);
        admission.grow(ticket, 3);
        admission.settle(ticket, usage);
        admission.closing(ticket);
    };
    report(second);
    assert_eq!(used(&admission), Resources::new(1, 5, 7));
    admission.first_token(first, START);
    admission.first_token(first, START);
    assert_eq!(used(&admission), Resources::new(1, 0, 7));
    admission.release(first, PermitOutcome::Success, START);
    report(first);
    assert_eq!(tickets(&grants(&admission)), [second]);
    assert_eq!(used(&admission), Resources::new(1, 5, 7));
    assert_eq!(admission.invariants().running, 1);
}

/// Each class of requests has its own expected length.
#[test]
fn the_expected_output_is_learned_by_class() {
    let admission = one_tier(&[10]);
    let unbounded = Offer { max_tokens: None, ..offer() };
    for output in 1..=100 {
        let ticket = granted(admission.offer(&unbounded, START)).ticket;
        admission.settle(ticket, Usage { prompt: 100, cached: 0, output });
        admission.release(ticket, PermitOutcome::Success, START);
    }
    let covered = |offer: &Offer| granted(admission.offer(offer, START)).covered;
    assert!((50..=80).contains(&covered(&unbounded)), "a little more than half");
    assert_eq!(covered(&Offer { tools: true, ..unbounded }), 256, "nothing is known of these");
    assert_eq!(covered(&ask(100, 20)), 20, "never more than asked for");
}

/// The cost of a request by its outcome.
#[test]
fn a_tenant_is_charged_for_what_was_used() {
    let admission = one_tier(&[10]);
    let tenant = Tenant::named(7);
    let charged =
        |prompt: u32, settle: Option<Usage>, first_token: bool, outcome: PermitOutcome| {
            let before = admission.tenant_cost(&tenant);
            let ticket =
                granted(admission.offer(&Offer { tenant, ..ask(prompt, 50) }, START)).ticket;
            if first_token {
                admission.first_token(ticket, START);
            }
            if let Some(usage) = settle {
                admission.settle(ticket, usage);
            }
            admission.release(ticket, outcome, START);
            admission.tenant_cost(&tenant) - before
        };
    assert_eq!(charged(100, None, true, PermitOutcome::Success), 200, "the estimate");
    assert_eq!(charged(100, None, false, PermitOutcome::Dropped), 0, "nobody pays for a failure");
    assert_eq!(
        charged(100, None, false, PermitOutcome::Ignored),
        100,
        "who left early: the prompt"
    );
    let usage = Some(Usage { prompt: 110, cached: 60, output: 40 });
    for outcome in [PermitOutcome::Success, PermitOutcome::Dropped, PermitOutcome::Ignored] {
        assert_eq!(charged(100, usage, true, outcome), 50 + 2 * 40, "as reported: {outcome:?}");
    }
}

#[test]
fn a_grant_that_never_arrived_costs_nothing() {
    let admission = one_tier(&[1]);
    let tenant = Tenant::named(7);
    let plug = granted(admission.offer(&offer(), START)).ticket;
    let ticket = queued(admission.offer(&Offer { tenant, ..offer() }, START));
    admission.release(plug, PermitOutcome::Success, START);
    assert_eq!(admission.tenant_cost(&tenant), 300);
    assert!(admission.cancel(ticket, START));
    assert_eq!(admission.tenant_cost(&tenant), 0);
    assert_eq!((grants(&admission), refusals(&admission)), (vec![], vec![]));
}

/// `auto`: what is processed in a second, and at least a chunk.
#[test]
fn the_prefill_limit_follows_the_rate() {
    let admission = with(TokenLimit::Auto, TokenLimit::None);
    assert_eq!(admission.backend(0).prefill_limit, Some(2048), "before anything is known");
    let mut now: Nanos = START;
    for _ in 0..60 {
        let ticket = granted(admission.offer(&ask(3000, 10), now)).ticket;
        now += 100 * MILLISECOND;
        admission.first_token(ticket, now);
        admission.release(ticket, PermitOutcome::Success, now);
    }
    admission.tick(now);
    let limit = admission.backend(0).prefill_limit.expect("it is known");
    assert!((29_000..=31_000).contains(&limit), "{limit}");
}
