//! Random histories, each step checked against the model.

use penstock_admission::time::MILLISECOND;
use penstock_admission::{BackendLimits, PermitOutcome, Sizes, Tenant, TierLimits};
use penstock_testing::property;
use proptest::prelude::*;

use crate::fixture::{self, START};
use crate::harness::{Checked, Harness};
use crate::model::{Model, State};
use crate::ops::{End, Op, Report, Setup, WORKERS, history, setup};

impl Harness {
    fn begin(setup: &Setup) -> Self {
        let (requests, tokens, bytes, of_tenant) = setup.queue;
        let tier = |&concurrency: &Option<u32>| TierLimits {
            concurrency,
            queue_requests: requests,
            queue_tokens: tokens,
            queue_bytes: bytes,
            tenant_requests: of_tenant,
            ..fixture::tier(&[0, 1, 2])
        };
        let backends = setup.backends.iter().enumerate();
        let backends = backends.map(|(at, &(slots, prefill, kv))| {
            let node = (at < 2).then_some(0);
            BackendLimits { node, prefill, kv, ..fixture::backend(slots) }
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
        Harness {
            admission: fixture::open(&sizes),
            model: Model::new(sizes, tenants, START),
            generations: vec![0; usize::from(WORKERS)],
            granted: Vec::new(),
            dispatched: false,
            ticked: false,
            single: true,
            uniform: setup.uniform,
            requeued: None,
        }
    }

    /// One of the requests: mostly one that has not ended, sometimes any.
    fn pick(&self, at: usize) -> Option<usize> {
        let requests = self.model.requests.iter().enumerate();
        let any = at.is_multiple_of(8);
        let those = requests.filter(|(_, request)| any || request.state != State::Over);
        let those: Vec<usize> = those.map(|(at, _)| at).collect();
        (!those.is_empty()).then(|| those[at / 8 % those.len()])
    }

    fn step(&mut self, op: &Op) -> Checked {
        self.granted.clear();
        self.requeued = None;
        (self.dispatched, self.ticked, self.single) = (false, false, !matches!(op, Op::End(_)));
        match *op {
            Op::Offer(ref spec) => self.offer(spec)?,
            Op::End(ref list) => {
                for &(end, at) in list {
                    self.end(end, at)?;
                    prop_assert!(self.admission.invariants().ok, "after {:?}", end);
                }
            }
            Op::Pushback(at) => {
                if let Some(at) = self.pick(at) {
                    self.pushback(at)?;
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
            Op::Fail(at, fault) => self.fail(at, fault)?,
            Op::Reached(at, proof) => self.note_reached(at, proof)?,
            Op::Requeue(at) => {
                if let Some(at) = self.pick(at) {
                    self.requeue(at)?;
                }
            }
            Op::LearnKv(at, tokens) => self.learn_kv(at, tokens),
            Op::Pass(milliseconds) => self.pass(milliseconds),
            Op::Die(worker) => self.die(worker),
            Op::Rebuild => self.rebuild()?,
        }
        self.collect()?;
        self.check()
    }

    fn end(&mut self, end: End, at: usize) -> Checked {
        match end {
            End::Die => self.die((at % usize::from(WORKERS)) as u16),
            End::Rebuild => self.admission.rebuild(),
            End::Cancel | End::Release(_) | End::Closing => {
                let Some(at) = self.pick(at) else { return Ok(()) };
                match end {
                    End::Cancel => self.cancel(at)?,
                    End::Release(outcome) => self.release(at, outcome)?,
                    _ => self.closing(at),
                }
            }
        }
        Ok(())
    }

    /// A rebuild must change nothing.
    fn rebuild(&mut self) -> Checked {
        // Capacity may have become free by time alone, which is not the rebuild's doing.
        self.set_limit(0, self.model.backends[0].limit);
        self.collect()?;
        self.granted.clear();
        // A request that waits for its own tenant's limit hears only now that its backend was drained.
        self.admission.rebuild();
        self.collect()?;
        prop_assert!(self.granted.is_empty(), "a rebuild makes no room");
        let before = self.view();
        self.admission.rebuild();
        prop_assert_eq!(before, self.view());
        Ok(())
    }

    /// All that can be seen from outside.
    fn view(&self) -> String {
        let tiers: Vec<_> = (0..2).map(|tier| self.admission.tier(tier)).collect();
        let backends: Vec<_> = (0..3).map(|backend| self.admission.backend(backend)).collect();
        let notifications: Vec<_> =
            (0..WORKERS).map(|worker| self.admission.has_notifications(worker)).collect();
        let sums = self.admission.invariants();
        format!("{tiers:?}{backends:?}{notifications:?}{sums:?}")
    }

    /// All clients leave, and nothing may be in use any more.
    fn drain(&mut self) -> Checked {
        for at in 0..self.model.requests.len() {
            self.end_for_good(at)?;
        }
        self.collect()?;
        // What was granted so far was in time then; it need not be so later.
        self.granted.clear();
        self.pass((fixture::GRACE / MILLISECOND).cast_signed() + 5);
        self.collect()?;
        for at in 0..self.model.requests.len() {
            self.end_for_good(at)?;
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

    fn end_for_good(&mut self, at: usize) -> Checked {
        self.cancel(at)?;
        self.release(at, PermitOutcome::Ignored)
    }
}

fn harness(setup: &Setup, ops: &[Op]) -> Checked {
    let mut harness = Harness::begin(setup);
    for (at, op) in ops.iter().enumerate() {
        harness
            .step(op)
            .map_err(|error| TestCaseError::fail(format!("step {at}, {op:?}: {error}")))?;
    }
    harness.drain()
}

#[test]
fn whatever_happens_the_invariants_hold() {
    property(6_000, &(setup(false), history(false)), |(setup, ops)| harness(&setup, &ops));
}

/// Where all requests are alike nothing is ever reserved, and so no slot may ever be idle.
#[test]
fn among_equals_no_slot_is_idle_while_one_waits() {
    property(4_000, &(setup(true), history(true)), |(setup, ops)| harness(&setup, &ops));
}
