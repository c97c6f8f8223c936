//! The operations of a random history.

use penstock_admission::{
    Candidate, Fault, Health, PermitOutcome, Priority, Proof, TokenLimit, Usage,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::harness::RequestSpec;

pub const WORKERS: u16 = 3;
const TENANTS: usize = 4;

/// What is fixed before a history begins.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Slots, and bounds on prefill and KV tokens.
    pub backends: Vec<(u32, TokenLimit, TokenLimit)>,
    /// The first two backends are on one node.
    pub node: Option<u32>,
    pub tiers: Vec<Option<u32>>,
    pub queue: (u32, u64, u64, u32),
    pub tenants: Vec<(u32, Option<u32>)>,
    pub rows: usize,
    /// All requests are alike, but for tenant and priority.
    pub uniform: bool,
}

#[derive(Debug, Clone)]
pub enum Op {
    Offer(RequestSpec),
    /// Several before the notifications are read.
    End(Vec<(End, usize)>),
    Pushback(usize),
    Report(usize, Report),
    Limit(usize, u32),
    Health(usize, Health),
    Fail(usize, Fault),
    Reached(usize, Proof),
    Requeue(usize),
    LearnKv(usize, u64),
    Pass(i64),
    Die(u16),
    Rebuild,
}

/// How a request ends, or seems to.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Cancel,
    Release(PermitOutcome),
    Closing,
    Die,
    Rebuild,
}

#[derive(Debug, Clone, Copy)]
pub enum Report {
    FirstToken,
    Grow(u64),
    Settle(Usage),
}

pub fn setup(uniform: bool) -> impl Strategy<Value = Setup> {
    let tokens = |most: u64| {
        let some = prop_oneof![
            2 => Just(TokenLimit::None),
            1 => Just(TokenLimit::Auto),
            3 => (1..most).prop_map(TokenLimit::Tokens),
        ];
        if uniform { Just(TokenLimit::None).boxed() } else { some.boxed() }
    };
    // A learned prefill limit changes by itself, which the model does not follow.
    let prefill = tokens(600).prop_map(|limit| match limit {
        TokenLimit::Auto => TokenLimit::None,
        limit => limit,
    });
    let backend = (0u32..10, prefill, tokens(1500));
    let cap = |most: u32| prop_oneof![1 => Just(None), 1 => (0..most).prop_map(Some)];
    let queue = (0u32..20, 1u64..4000, 1u64..4000, 0u32..10);
    let tenant = (1u32..4, prop_oneof![3 => Just(None), 1 => (0u32..4).prop_map(Some)]);
    (
        prop::collection::vec(backend, 3),
        cap(8),
        prop::collection::vec(cap(8), 2),
        queue,
        prop::collection::vec(tenant, TENANTS - 1),
        1usize..30,
    )
        .prop_map(move |(backends, node, tiers, queue, tenants, rows)| Setup {
            backends,
            node,
            tiers,
            queue,
            tenants,
            rows,
            uniform,
        })
}

fn spec(uniform: bool) -> impl Strategy<Value = RequestSpec> {
    let candidate =
        |backend| prop_oneof![Just(0), 0u32..300].prop_map(move |hit| Candidate { backend, hit });
    let candidates = if uniform {
        Just(vec![0, 1, 2]).boxed()
    } else {
        prop_oneof![3 => Just(vec![0, 1, 2]), 1 => subsequence(vec![0u16, 1, 2], 0..=3)].boxed()
    };
    let candidates =
        candidates.prop_flat_map(move |list| list.into_iter().map(candidate).collect::<Vec<_>>());
    let output = prop_oneof![Just(None), (1u32..400).prop_map(Some)];
    let priority = select(vec![Priority::High, Priority::Normal, Priority::Normal, Priority::Low]);
    let bounds = (prop_oneof![3 => Just(1u32), 1 => 1u32..5], 0u32..400, output);
    (0..WORKERS, 0..2usize, 0..TENANTS, priority, bounds, any::<bool>(), 0u64..200, candidates)
        .prop_map(
            move |(
                worker,
                tier,
                tenant,
                priority,
                (slots, prompt, max_tokens),
                streams,
                bytes,
                candidates,
            )| {
                let slots = if uniform { 1 } else { slots };
                RequestSpec {
                    worker,
                    tier,
                    tenant,
                    priority,
                    slots,
                    prompt,
                    max_tokens,
                    streams,
                    bytes,
                    candidates,
                }
            },
        )
}

pub fn history(uniform: bool) -> impl Strategy<Value = Vec<Op>> {
    let which = any::<usize>;
    let outcome = select(vec![
        PermitOutcome::Success,
        PermitOutcome::Success,
        PermitOutcome::Dropped,
        PermitOutcome::Ignored,
    ]);
    let end = prop_oneof![
        4 => Just(End::Cancel),
        9 => outcome.prop_map(End::Release),
        2 => Just(End::Closing),
        1 => Just(End::Die),
        1 => Just(End::Rebuild),
    ];
    let usage = (0u32..400, 0u32..400, 0u32..2000).prop_map(|(prompt, cached, output)| Usage {
        prompt,
        cached,
        output,
    });
    let report = prop_oneof![
        3 => Just(Report::FirstToken),
        1 => (0u64..300).prop_map(Report::Grow),
        1 => usage.prop_map(Report::Settle),
    ];
    let health = select(vec![
        Health::Healthy,
        Health::Healthy,
        Health::Healthy,
        Health::Unknown,
        Health::Down,
    ]);
    let time = prop_oneof![
        6 => 0i64..20,
        3 => 20i64..400,
        1 => 400i64..6000,
        1 => -5000i64..0,
    ];
    let far = 10_000i64..4_000_000_000;
    let fault = select(vec![Fault::Refused, Fault::Unreachable, Fault::Died, Fault::Unavailable]);
    let proof = select(vec![Proof::Connected, Proof::Answered, Proof::Survived, Proof::Served]);
    let op = prop_oneof![
        24 => spec(uniform).prop_map(Op::Offer),
        16 => prop::collection::vec((end, which()), 1..4).prop_map(Op::End),
        2 => which().prop_map(Op::Pushback),
        6 => (which(), report).prop_map(|(at, report)| Op::Report(at, report)),
        2 => (0..3usize, 0u32..10).prop_map(|(at, slots)| Op::Limit(at, slots)),
        2 => (0..3usize, health).prop_map(|(at, health)| Op::Health(at, health)),
        3 => (0..3usize, fault).prop_map(|(at, fault)| Op::Fail(at, fault)),
        1 => (0..3usize, proof).prop_map(|(at, proof)| Op::Reached(at, proof)),
        2 => which().prop_map(Op::Requeue),
        1 => (0..3usize, 1u64..1500).prop_map(|(at, tokens)| Op::LearnKv(at, tokens)),
        10 => time.prop_map(Op::Pass),
        1 => (0u8..8, far).prop_map(|(rare, far)| Op::Pass(if rare == 0 { far } else { 50 })),
        1 => (0..WORKERS).prop_map(Op::Die),
        2 => Just(Op::Rebuild),
    ];
    prop::collection::vec(op, 1..60)
}
