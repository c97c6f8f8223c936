//! Random histories, each step checked against the model.

use penstock_core::admission::{
    BackendLimits, Band, Candidate, Health, Outcome, Sizes, Tenant, TierLimits, TokenLimit, Usage,
};
use penstock_core::time::MILLISECOND;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::model::{Model, State};
use crate::play::{Checked, Play, Wish};
use crate::stage::{self, START};
use crate::support::property;

const WORKERS: u16 = 3;
const TENANTS: usize = 4;

/// What is fixed before a history begins.
#[derive(Debug, Clone)]
struct Setup {
    /// Slots, and bounds on prefill and KV tokens.
    backends: Vec<(u32, TokenLimit, TokenLimit)>,
    /// The first two backends are on one node.
    node: Option<u32>,
    tiers: Vec<Option<u32>>,
    queue: (u32, u64, u64, u32),
    tenants: Vec<(u32, Option<u32>)>,
    rows: usize,
    /// All requests are alike, but for their tenant and band.
    uniform: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Offer(Wish),
    /// Several before anyone looks at the mail.
    Leave(Vec<(Leave, usize)>),
    Bounce(usize),
    Report(usize, Report),
    Limit(usize, u32),
    Health(usize, Health),
    ConnectFailed(usize),
    LearnKv(usize, u64),
    Pass(i64),
    Die(u16),
    Rebuild,
}

/// How a request may end, or seem to.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Cancel,
    Release(Outcome),
    Closing,
    Die,
    Rebuild,
}

#[derive(Debug, Clone, Copy)]
enum Report {
    FirstToken,
    Grow(u64),
    Settle(Usage),
}

fn setup(uniform: bool) -> impl Strategy<Value = Setup> {
    let tokens = |most: u64| {
        let some = prop_oneof![
            2 => Just(TokenLimit::None),
            1 => Just(TokenLimit::Auto),
            3 => (1..most).prop_map(TokenLimit::Tokens),
        ];
        if uniform { Just(TokenLimit::None).boxed() } else { some.boxed() }
    };
    // A learned prefill limit moves by itself, and the model does not follow it.
    let prefill = tokens(600).prop_map(|limit| match limit {
        TokenLimit::Auto => TokenLimit::None,
        limit => limit,
    });
    let backend = (0u32..7, prefill, tokens(1500));
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

fn wish(uniform: bool) -> impl Strategy<Value = Wish> {
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
    let band = select(vec![Band::High, Band::Normal, Band::Normal, Band::Low]);
    let bounds = (prop_oneof![3 => Just(1u32), 1 => 1u32..5], 0u32..400, output);
    (0..WORKERS, 0..2usize, 0..TENANTS, band, bounds, any::<bool>(), 0u64..200, candidates)
        .prop_map(
            move |(
                worker,
                tier,
                tenant,
                band,
                (slots, prompt, max_tokens),
                streams,
                bytes,
                candidates,
            )| {
                let slots = if uniform { 1 } else { slots };
                Wish {
                    worker,
                    tier,
                    tenant,
                    band,
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

fn history(uniform: bool) -> impl Strategy<Value = Vec<Op>> {
    let which = any::<usize>;
    let outcome =
        select(vec![Outcome::Success, Outcome::Success, Outcome::Dropped, Outcome::Ignored]);
    let leave = prop_oneof![
        4 => Just(Leave::Cancel),
        9 => outcome.prop_map(Leave::Release),
        2 => Just(Leave::Closing),
        1 => Just(Leave::Die),
        1 => Just(Leave::Rebuild),
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
    let op = prop_oneof![
        24 => wish(uniform).prop_map(Op::Offer),
        16 => prop::collection::vec((leave, which()), 1..4).prop_map(Op::Leave),
        2 => which().prop_map(Op::Bounce),
        6 => (which(), report).prop_map(|(at, report)| Op::Report(at, report)),
        2 => (0..3usize, 0u32..7).prop_map(|(at, slots)| Op::Limit(at, slots)),
        2 => (0..3usize, health).prop_map(|(at, health)| Op::Health(at, health)),
        1 => (0..3usize).prop_map(Op::ConnectFailed),
        1 => (0..3usize, 1u64..1500).prop_map(|(at, tokens)| Op::LearnKv(at, tokens)),
        10 => time.prop_map(Op::Pass),
        1 => (0u8..8, far).prop_map(|(dice, far)| Op::Pass(if dice == 0 { far } else { 50 })),
        1 => (0..WORKERS).prop_map(Op::Die),
        2 => Just(Op::Rebuild),
    ];
    prop::collection::vec(op, 1..60)
}

impl Play {
    fn begin(setup: &Setup) -> Self {
        let (requests, tokens, bytes, of_tenant) = setup.queue;
        let tier = |&concurrency: &Option<u32>| TierLimits {
            concurrency,
            queue_requests: requests,
            queue_tokens: tokens,
            queue_bytes: bytes,
            tenant_requests: of_tenant,
            ..stage::tier(&[0, 1, 2])
        };
        let backends = setup.backends.iter().enumerate();
        let backends = backends.map(|(at, &(slots, prefill, kv))| {
            let node = (at < 2).then_some(0);
            BackendLimits { node, prefill, kv, ..stage::backend(slots) }
        });
        let sizes = Sizes {
            rows: setup.rows,
            tiers: setup.tiers.iter().map(tier).collect(),
            backends: backends.collect(),
            nodes: vec![setup.node],
            workers: usize::from(WORKERS),
        };
        let known = setup.tenants.iter().zip(7..);
        let known = known.map(|(&(weight, slots), key)| Tenant { key, weight, slots });
        let tenants = [Tenant::UNKNOWN].into_iter().chain(known).collect();
        Play {
            admission: stage::open(&sizes),
            model: Model::new(sizes, tenants, START),
            lives: vec![0; usize::from(WORKERS)],
            fresh: Vec::new(),
            dispatched: false,
            ticked: false,
            single: true,
            uniform: setup.uniform,
        }
    }

    /// One of the requests: mostly one that lives, sometimes any that there ever was.
    fn pick(&self, at: usize) -> Option<usize> {
        let requests = self.model.requests.iter().enumerate();
        let any = at.is_multiple_of(8);
        let those = requests.filter(|(_, request)| any || request.state != State::Over);
        let those: Vec<usize> = those.map(|(at, _)| at).collect();
        (!those.is_empty()).then(|| those[at / 8 % those.len()])
    }

    fn step(&mut self, op: &Op) -> Checked {
        self.fresh.clear();
        (self.dispatched, self.ticked, self.single) = (false, false, !matches!(op, Op::Leave(_)));
        match *op {
            Op::Offer(ref wish) => self.offer(wish)?,
            Op::Leave(ref list) => {
                for &(leave, at) in list {
                    self.leave(leave, at)?;
                    prop_assert!(self.admission.invariants().ok, "after {:?}", leave);
                }
            }
            Op::Bounce(at) => {
                if let Some(at) = self.pick(at) {
                    self.bounce(at)?;
                }
            }
            Op::Report(at, report) => {
                if let Some(at) = self.pick(at) {
                    match report {
                        Report::FirstToken => self.first_token(at),
                        Report::Grow(tokens) => self.grow(at, tokens),
                        Report::Settle(usage) => self.settle(at, usage),
                    }
                }
            }
            Op::Limit(at, slots) => self.set_limit(at, slots),
            Op::Health(at, health) => self.set_health(at, health),
            Op::ConnectFailed(at) => self.connect_failed(at)?,
            Op::LearnKv(at, tokens) => self.learn_kv(at, tokens),
            Op::Pass(milliseconds) => self.pass(milliseconds),
            Op::Die(worker) => self.die(worker),
            Op::Rebuild => self.rebuild()?,
        }
        self.collect()?;
        self.check()
    }

    fn leave(&mut self, leave: Leave, at: usize) -> Checked {
        match leave {
            Leave::Die => self.die((at % usize::from(WORKERS)) as u16),
            Leave::Rebuild => self.admission.rebuild(),
            Leave::Cancel | Leave::Release(_) | Leave::Closing => {
                let Some(at) = self.pick(at) else { return Ok(()) };
                match leave {
                    Leave::Cancel => self.cancel(at)?,
                    Leave::Release(outcome) => self.release(at, outcome)?,
                    _ => self.closing(at),
                }
            }
        }
        Ok(())
    }

    /// What a rebuild makes is what was there before.
    fn rebuild(&mut self) -> Checked {
        // Time alone may have made room for someone; that is not the rebuild's doing.
        self.set_limit(0, self.model.backends[0].limit);
        self.collect()?;
        self.fresh.clear();
        // Who waits for his own tenant's limit hears only now that his backend went.
        self.admission.rebuild();
        self.collect()?;
        prop_assert!(self.fresh.is_empty(), "a rebuild makes no room");
        let before = self.view();
        self.admission.rebuild();
        prop_assert_eq!(before, self.view());
        Ok(())
    }

    /// All that can be seen from outside.
    fn view(&self) -> String {
        let tiers: Vec<_> = (0..2).map(|tier| self.admission.tier(tier)).collect();
        let backends: Vec<_> = (0..3).map(|backend| self.admission.backend(backend)).collect();
        let mail: Vec<_> = (0..WORKERS).map(|worker| self.admission.has_mail(worker)).collect();
        let sums = self.admission.invariants();
        format!("{tiers:?}{backends:?}{mail:?}{sums:?}")
    }

    /// 5: everyone leaves, wherever he stands, and nothing is held.
    fn drain(&mut self) -> Checked {
        for at in 0..self.model.requests.len() {
            self.leave_for_good(at)?;
        }
        self.pass((stage::GRACE / MILLISECOND).cast_signed() + 5);
        self.collect()?;
        for at in 0..self.model.requests.len() {
            self.leave_for_good(at)?;
        }
        self.collect()?;
        self.check()?;
        let sums = self.admission.invariants();
        prop_assert_eq!((sums.queued, sums.running, sums.closing), (0, 0, 0));
        for backend in 0..3 {
            let used = self.admission.backend(backend).cap.used;
            prop_assert_eq!((used.slots, used.prefill, used.kv), (0, 0, 0));
        }
        Ok(())
    }

    fn leave_for_good(&mut self, at: usize) -> Checked {
        self.cancel(at)?;
        self.release(at, Outcome::Ignored)
    }
}

fn play(setup: &Setup, ops: &[Op]) -> Checked {
    let mut play = Play::begin(setup);
    for (at, op) in ops.iter().enumerate() {
        play.step(op)
            .map_err(|error| TestCaseError::fail(format!("step {at}, {op:?}: {error}")))?;
    }
    play.drain()
}

#[test]
fn whatever_happens_the_invariants_hold() {
    property(6_000, &(setup(false), history(false)), |(setup, ops)| play(&setup, &ops));
}

/// Where all requests are alike nothing is ever kept free, and so no slot may ever be idle.
#[test]
fn among_equals_no_slot_is_idle_while_one_waits() {
    property(4_000, &(setup(true), history(true)), |(setup, ops)| play(&setup, &ops));
}
