//! What must hold after every step.

use penstock_admission::Owner;
use proptest::prelude::*;

use crate::fits::{Certainty, needs_no_more};
use crate::harness::{Checked, Harness};
use crate::model::{Request, State};

/// Rows that do not fit and that a search skips before it gives up: as many as may bypass one.
const PROBES: usize = 8;

impl Harness {
    pub fn check(&self) -> Checked {
        self.sums_agree()?;
        self.usage_agrees()?;
        self.grants_were_right()?;
        self.order_was_right()?;
        self.charges_agree()?;
        if self.dispatched {
            self.no_feasible_request_waits()?;
        }
        Ok(())
    }

    /// Every request is counted once, and admission's own sums agree with its rows.
    pub fn sums_agree(&self) -> Checked {
        let sums = self.admission.invariants();
        let count = |wanted: fn(State) -> bool| {
            let mut all = 0;
            self.model.requests.iter().for_each(|request| all += u64::from(wanted(request.state)));
            all
        };
        prop_assert!(sums.ok, "{:?}", sums);
        prop_assert_eq!(sums.arrived, self.model.requests.len() as u64 + self.model.refused);
        prop_assert_eq!(sums.queued, count(|state| state == State::Queued));
        prop_assert_eq!(sums.running, count(|state| state == State::Running));
        let is_closing = |state| matches!(state, State::Closing | State::Orphan(_));
        prop_assert_eq!(sums.closing, count(is_closing));
        prop_assert_eq!(sums.finished, count(|state| state == State::Over) + self.model.refused);
        Ok(())
    }

    /// What is used is what the requests with a permit use, in every dimension.
    fn usage_agrees(&self) -> Checked {
        let model = &self.model;
        for (index, backend) in model.backends.iter().enumerate() {
            let numbers = self.admission.backend(index as u16);
            let is_here = |request: &Request| request.backend == index;
            prop_assert_eq!(numbers.cap.limit(), Some(backend.limit));
            prop_assert_eq!(numbers.cap.used.slots, model.used(is_here));
            prop_assert_eq!(numbers.cap.used.kv, model.kv_used(is_here));
            let (prefill, span) = (numbers.cap.used.prefill, model.prefill_used(index));
            prop_assert!(span.contains(prefill), "{} of {:?} at backend {}", prefill, span, index);
            prop_assert_eq!(numbers.effective, backend.effective(model.now));
            prop_assert_eq!(self.admission.is_usable(index as u16), model.is_open(index));
            for tier in 0..model.sizes.tiers.len() {
                let used = model.used(|request| is_here(request) && request.tier == tier);
                prop_assert_eq!(self.admission.inflight(tier as u16, index as u16), used);
            }
        }
        for tier in 0..model.sizes.tiers.len() {
            let numbers = self.admission.tier(tier as u16);
            let is_mine = |request: &Request| request.tier == tier;
            prop_assert_eq!(numbers.queued as usize, model.queue(tier).count());
            prop_assert_eq!(numbers.cap.used.slots, model.used(is_mine));
            prop_assert_eq!(numbers.cap.used.kv, model.kv_used(is_mine));
        }
        for node in 0..model.sizes.nodes.len() {
            let used = model.used(|request| model.is_on_node(request, node));
            prop_assert_eq!(self.admission.node_used(node), used);
        }
        for (worker, &generation) in self.generations.iter().enumerate() {
            let owner = Owner { worker: worker as u16, generation };
            let mut has = self.admission.permits_of(owner);
            let is_his = |request: &Request| {
                usize::from(request.worker) == worker && !matches!(request.state, State::Orphan(_))
            };
            let mut should: Vec<_> = model.holding(is_his).map(|request| request.ticket).collect();
            has.sort_by_key(|ticket| ticket.row);
            should.sort_by_key(|ticket| ticket.row);
            prop_assert_eq!(has, should, "13: a live worker's permits stay");
        }
        Ok(())
    }

    /// Whatever was granted in this step had capacity, a backend, and time.
    fn grants_were_right(&self) -> Checked {
        let model = &self.model;
        let new_grants = || self.granted.iter().map(|&at| &model.requests[at]);
        for request in new_grants() {
            let Request { tier, tenant, backend: index, .. } = *request;
            let backend = &model.backends[index];
            prop_assert!(model.is_open(index), "down, drained or without a node: {:?}", request);
            prop_assert!(backend.closed.low <= model.now, "closed by pushback: {:?}", request);
            let has_time = model.now < request.deadline || self.was_requeued_now(request);
            prop_assert!(has_time, "after its deadline: {:?}", request);
            let of_trial = |other: &&Request| other.backend == index && other.is_trial;
            prop_assert!(
                model.holding(|_| true).filter(of_trial).count() <= 1,
                "one tries at a time: {:?}",
                request
            );
            prop_assert_eq!(backend.has_outage(), request.is_trial, "{:?}", request);
            let within = |limit: Option<u32>, used| limit.is_none_or(|limit| used <= limit);
            let of_tier = model.used(|other| other.tier == tier);
            prop_assert!(within(model.sizes.tiers[tier].concurrency, of_tier), "{:?}", request);
            let of_tenant = model.used(|other| other.tenant == tenant);
            prop_assert!(within(model.tenants[tenant].slots, of_tenant), "{:?}", request);
            if let Some(node) = backend.node {
                let used = model.used(|other| model.is_on_node(other, node));
                prop_assert!(within(model.sizes.nodes[node], used), "{:?}", request);
            }
            let here = || model.holding(|other| other.backend == index);
            let used = model.used(|other| other.backend == index);
            let alone = here().count() <= 1;
            let is_low = |other: &Request| other.priority == 2 && !other.may_have_aged(model.now);
            let all_low = new_grants().filter(|other| other.backend == index).all(is_low);
            let room = backend.room_of(if all_low { 2 } else { 0 }, model.now);
            prop_assert!(
                u64::from(used) <= room || alone && used <= backend.limit,
                "{:?}",
                request
            );
            // Without a stream, the end of a prefill is not seen.
            let reading = here().filter(|other| other.prefill.low > 0).count();
            let largest = here().map(|other| other.prefill.high).max().unwrap_or(0);
            let tokens = self.admission.backend(index as u16).cap.used;
            let prefill_fits = backend.prefill.is_none_or(|limit| tokens.prefill <= limit);
            let reads_alone = reading <= 1 && tokens.prefill <= largest;
            prop_assert!(prefill_fits || reads_alone, "{} to read: {:?}", tokens.prefill, request);
            let kv_fits = backend.kv.is_none_or(|limit| tokens.kv <= limit);
            prop_assert!(kv_fits || alone, "{} of KV: {:?}", tokens.kv, request);
            prop_assert!(backend.holds(request), "it can never fit there: {:?}", request);
        }
        Ok(())
    }

    /// Earliest deadline first in a flow; and a lower priority goes first only by its share, or if no
    /// higher one fits.
    fn order_was_right(&self) -> Checked {
        let model = &self.model;
        if !self.single {
            return Ok(());
        }
        let kept_for =
            |request: &Request| !self.uniform && request.bypasses_before >= PROBES as u32;
        for late in self.granted.iter().map(|&at| &model.requests[at]) {
            let is_plain = |request: &Request| {
                !request.may_have_aged(model.now)
                    && (self.uniform
                        || model.now
                            < request.arrived + 250 * penstock_admission::time::MILLISECOND
                            && !kept_for(request))
            };
            if self.was_requeued_now(late)
                || !is_plain(late)
                || !late.holds_permit()
                || model.queue(late.tier).count() > PROBES
            {
                continue;
            }
            for early in model.queue(late.tier).filter(|early| needs_no_more(early, late)) {
                let same_flow = (early.tenant, early.priority) == (late.tenant, late.priority);
                let is_behind = same_flow && early.deadline < late.deadline && is_plain(early);
                prop_assert!(!is_behind, "{:?} went before {:?}", late, early);
                let is_above = early.priority == 0 && late.priority > 0;
                if is_above && model.tenants[early.tenant].slots.is_none() {
                    prop_assert!(
                        self.top_priority_is_full(late.tier),
                        "{:?} before {:?}",
                        late,
                        early
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether a request is the one that was requeued in this step.
    fn was_requeued_now(&self, request: &Request) -> bool {
        self.requeued.is_some_and(|at| self.model.requests[at].ticket == request.ticket)
    }

    /// Whether the highest priority uses its four fifths of a tier's slots.
    fn top_priority_is_full(&self, tier: usize) -> bool {
        let model = &self.model;
        let limits = &model.sizes.tiers[tier];
        let backends = limits.backends.iter().map(|&index| &model.backends[usize::from(index)]);
        let usable = backends.filter(|backend| backend.is_usable());
        let slots: u32 = usable.map(|backend| backend.effective(model.now)).sum();
        let slots = slots.min(limits.concurrency.unwrap_or(u32::MAX));
        let used = model.used(|request| {
            request.tier == tier && (request.priority == 0 || request.may_have_aged(model.now))
        });
        u64::from(used) * 100 >= u64::from(slots) * 80
    }

    /// The cost of a tenant is what was used, once that is known, and else the estimate.
    fn charges_agree(&self) -> Checked {
        for (index, tenant) in self.model.tenants.iter().enumerate() {
            let of_tenant = self.model.requests.iter().filter(|request| request.tenant == index);
            let span = of_tenant
                .fold(crate::model::Span::default(), |sum, request| sum.plus(request.charged));
            let charged = self.admission.tenant_cost(tenant);
            prop_assert!(span.contains(charged), "{} of {:?}, {:?}", charged, span, tenant);
        }
        Ok(())
    }

    /// Requests that fit have been granted, and expired ones refused.
    fn no_feasible_request_waits(&self) -> Checked {
        let model = &self.model;
        for tier in 0..model.sizes.tiers.len() {
            let has_backend_in_service = model.has_backend_in_service(tier);
            let looks_far = model.queue(tier).count() > PROBES;
            for request in model.queue(tier) {
                prop_assert!(has_backend_in_service, "no backend is left for {:?}", request);
                if self.ticked {
                    prop_assert!(model.now < request.deadline, "its time is over: {:?}", request);
                }
                let fits = model.fits(request, Certainty::Certain, !self.uniform);
                let excused = looks_far || self.waits_for_itself(request);
                prop_assert!(!fits || excused, "it fits, and waits: {:?}", request);
            }
        }
        Ok(())
    }

    /// Whether a wider request of the same tenant waits for that tenant's own limit: those behind it wait
    /// too.
    fn waits_for_itself(&self, request: &Request) -> bool {
        let model = &self.model;
        let Some(limit) = model.tenants[request.tenant].slots else { return false };
        let used = model.used(|other| other.tenant == request.tenant);
        let mut flow = model.queue(request.tier).filter(|other| other.tenant == request.tenant);
        flow.any(|other| used + other.slots > limit)
    }
}
