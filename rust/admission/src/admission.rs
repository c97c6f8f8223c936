//! [`Admission`]: the limiter as its users hold it. Each call takes the lock, does one bounded operation,
//! unlocks, and then wakes the workers that it notified.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::api::decision::{Decision, Notification, Refusal};
use crate::api::ids::{BackendIndex, Owner, Ticket, TierIndex};
use crate::api::offer::{Offer, Tenant};
use crate::api::report::{Fault, Health, PermitOutcome, Proof, Usage};
use crate::histogram::Histogram;
use crate::inspect::invariants::Invariants;
use crate::inspect::permits::ROWS_AT_ONCE;
use crate::inspect::recount::{Recount, RecountSizes};
use crate::inspect::status::{BackendStatus, TierStatus};
use crate::kill_points;
use crate::shm::{Found, Guard, Layout, Region, Wakers};
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::state::load::Load;
use crate::state::parts::Parts;
use crate::state::sizes::Sizes;
use crate::time::Nanos;

/// Notifications taken under one lock.
const NOTIFICATIONS_AT_ONCE: usize = 64;

/// Where admission lies in a segment.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionParts(Parts);

impl AdmissionParts {
    /// Adds what `sizes` need to a segment that is being planned.
    pub fn add(layout: &mut Layout, sizes: &Sizes) -> Self {
        AdmissionParts(Parts::add(layout, sizes))
    }
}

/// A handle on the shared state. Any number of processes may use one at the same time.
#[derive(Debug, Clone)]
pub struct Admission {
    region: Arc<Region>,
    parts: Parts,
    wakers: Arc<Wakers>,
    /// The worker that this handle belongs to, as a bit. It looks at its notifications by itself and is not
    /// woken.
    own_worker: u64,
}

impl Admission {
    /// A limiter in ordinary memory, for one process.
    pub fn new(sizes: &Sizes) -> Self {
        let mut layout = Layout::new();
        let parts = AdmissionParts::add(&mut layout, sizes);
        let region = Arc::new(Region::on_heap(&layout));
        Self::create(region, parts, Arc::new(Wakers::none()), sizes, 0)
    }

    /// Writes the initial state into a segment whose memory is zero.
    pub fn create(
        region: Arc<Region>,
        AdmissionParts(parts): AdmissionParts,
        wakers: Arc<Wakers>,
        sizes: &Sizes,
        now: Nanos,
    ) -> Self {
        let admission = Admission { region, parts, wakers, own_worker: 0 };
        admission.with(|ledger| ledger.begin(sizes, now));
        admission
    }

    /// The same for one worker, which looks at its notifications after each call and so need not be woken.
    #[must_use]
    pub fn of_worker(&self, worker: u16) -> Self {
        Admission { own_worker: 1 << worker, ..self.clone() }
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Ledger<'_>) -> R) -> R {
        let mut guard = self.lock();
        let mut ledger = Ledger::open(&mut guard, &self.parts, &self.region);
        let result = change(&mut ledger);
        #[cfg(debug_assertions)]
        ledger.assert_invariants();
        let wake = std::mem::take(&mut ledger.globals.wake);
        drop(guard);
        kill_points::point();
        if wake & !self.own_worker != 0 {
            self.wakers.wake(wake & !self.own_worker);
        }
        result
    }

    /// Takes the lock, and rebuilds the state if the last holder died.
    fn lock(&self) -> Guard<'_> {
        let mut guard = self.region.lock();
        if guard.found() == Found::Inconsistent {
            Ledger::open(&mut guard, &self.parts, &self.region).rebuild();
            guard.repaired();
        }
        guard
    }

    /// Grants a request, queues it, or refuses it.
    pub fn offer(&self, offer: &Offer, now: Nanos) -> Decision {
        self.with(|ledger| ledger.offer(offer, now))
    }

    /// The client of a request has left. Returns whether the request was still waiting; a running
    /// one is not ended here but released by its owner.
    pub fn cancel(&self, ticket: Ticket, now: Nanos) -> bool {
        self.with(|ledger| ledger.cancel(ticket, now))
    }

    /// Whether a worker has notifications. Takes no lock.
    pub fn has_notifications(&self, worker: u16) -> bool {
        self.region.open(self.parts.has_notifications)[usize::from(worker)].load(Ordering::Acquire)
            != 0
    }

    /// Moves a worker's notifications to `out`. Granted requests count as running from now on.
    pub fn take_grants(&self, worker: u16, out: &mut Vec<Notification>) {
        while self.has_notifications(worker) {
            // Nothing may be allocated while the lock is held.
            out.reserve(NOTIFICATIONS_AT_ONCE);
            self.with(|ledger| {
                let notifications = std::iter::from_fn(|| ledger.take_notification(worker));
                out.extend(notifications.take(NOTIFICATIONS_AT_ONCE));
            });
        }
    }

    /// How full a backend was a moment ago. Takes no lock.
    pub fn load(&self, backend: BackendIndex) -> Load {
        let word = &self.region.open(self.parts.loads)[usize::from(backend)];
        Load::of_word(word.load(Ordering::Relaxed))
    }

    /// The first token of a running request has arrived: its prompt is processed.
    pub fn first_token(&self, ticket: Ticket, now: Nanos) {
        self.with(|ledger| ledger.first_token(ticket, now));
    }

    /// Reserves more KV tokens for a running request.
    pub fn grow(&self, ticket: Ticket, tokens: u64) {
        self.with(|ledger| ledger.grow(ticket, tokens));
    }

    /// What a running request has used, as its backend reports it.
    pub fn settle(&self, ticket: Ticket, usage: Usage) {
        self.with(|ledger| ledger.settle(ticket, usage));
    }

    /// The client is served or gone, but the backend may still work on the request: it counts until its
    /// release.
    pub fn closing(&self, ticket: Ticket) {
        self.with(|ledger| ledger.closing(ticket));
    }

    /// Gives a permit back. Returns false if it was given back before.
    pub fn release(&self, ticket: Ticket, outcome: PermitOutcome, now: Nanos) -> bool {
        self.with(|ledger| ledger.release(ticket, outcome, now))
    }

    /// Gives a permit back because the backend had no capacity, and queues the request again. Errors: it
    /// was pushed back too often, or holds no permit.
    pub fn pushback(&self, ticket: Ticket, now: Nanos) -> Result<(), Refusal> {
        self.with(|ledger| ledger.pushback(ticket, now))
    }

    /// Changes the slots of a backend; 0 drains it.
    pub fn set_limits(&self, backend: BackendIndex, slots: u32, now: Nanos) {
        self.with(|ledger| ledger.set_limits(backend, slots, now));
    }

    /// The result of a health probe. Returns how long the backend was unreachable, if this ends an outage:
    /// a good result ends it if connections were refused, or if the backend was down.
    pub fn set_health(&self, backend: BackendIndex, health: Health, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.set_health(backend, health, now))
    }

    /// A request failed to reach a backend. The backend is closed for a moment (50 ms, doubling up to 2 s)
    /// and then tried by one request at a time; [`Fault::Unavailable`] counts from the third in a row on.
    /// Returns whether this begins an outage.
    pub fn fail(&self, backend: BackendIndex, fault: Fault, now: Nanos) -> bool {
        self.with(|ledger| ledger.fail(backend, fault, now))
    }

    /// A request reached a backend. Returns how long the backend was unreachable, if this ends an outage.
    pub fn reached(&self, backend: BackendIndex, proof: Proof, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.reached(backend, proof, now))
    }

    /// Part of a request's answer has arrived. Returns how long its backend was unreachable, if this ends
    /// an outage: an answer to a request that was sent before the outage proves less than one sent since.
    pub fn answered(&self, ticket: Ticket, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.answered(ticket, now))
    }

    /// A probe found that nothing listens at a backend. If it reset connections just before, it has
    /// crashed.
    pub fn note_refused(&self, backend: BackendIndex, now: Nanos) {
        self.with(|ledger| ledger.confirm_crash(backend, Fault::Refused, now));
    }

    /// Gives a permit back because the backend has not begun the request. The request is granted another
    /// backend, or waits with its old deadline and order. Returns false if it holds no permit.
    pub fn requeue(&self, ticket: Ticket, now: Nanos) -> bool {
        self.with(|ledger| ledger.requeue(ticket, now))
    }

    /// A backend reset the connection of a request with this body (a hash of it).
    pub fn note_reset(&self, backend: BackendIndex, body: u64, now: Nanos) {
        self.with(|ledger| ledger.note_reset(backend, body, now));
    }

    /// Whether a body is quarantined because backends have crashed on it. `hash` is only called, and the
    /// lock only taken, while two backends have crashed within a minute.
    pub fn is_quarantined(&self, hash: impl FnOnce() -> u64, now: Nanos) -> bool {
        let until = self.region.open(self.parts.quarantine_until)[0].load(Ordering::Relaxed);
        now < until && {
            let body = hash();
            self.with(|ledger| ledger.is_quarantined(body, now))
        }
    }

    /// The engine has reported how many tokens its KV cache holds.
    pub fn learn_kv(&self, backend: BackendIndex, tokens: u64, now: Nanos) {
        self.with(|ledger| ledger.learn_kv(backend, tokens, now));
    }

    /// The times between tokens that a backend has shown since the last call.
    pub fn note_inter_token(&self, backend: BackendIndex, times: &Histogram) {
        self.with(|ledger| {
            let state = &mut ledger.backends[usize::from(backend)];
            state.last_response = ledger.globals.now;
            state.adaptive.inter_token(times);
        });
    }

    /// A backend's own metrics say that it is overloaded.
    pub fn note_overload(&self, backend: BackendIndex) {
        self.with(|ledger| ledger.backends[usize::from(backend)].adaptive.note_overload());
    }

    /// Time has passed. To be called about every 10 ms; any number of processes may do so.
    pub fn tick(&self, now: Nanos) {
        self.with(|ledger| ledger.tick(now));
    }

    /// Begins a new generation of a worker, before it is forked. Returns the generation.
    pub fn begin_worker(&self, worker: u16) -> u16 {
        self.with(|ledger| ledger.begin_worker(worker))
    }

    /// A worker has died: its waiting requests are dropped, its permits pass through `closing`.
    pub fn reclaim(&self, dead: Owner, now: Nanos) {
        self.with(|ledger| ledger.reclaim(dead, now));
    }

    /// Recomputes everything that is derived from the rows. Changes nothing if the state was consistent.
    pub fn rebuild(&self) {
        // A method path does not fit every lifetime of the ledger.
        #[allow(clippy::redundant_closure_for_method_calls)]
        self.with(|ledger| ledger.rebuild());
    }

    /// Most requests that can be known at once, queued and running together.
    pub fn rows(&self) -> usize {
        self.with(|ledger| ledger.rows.len())
    }

    pub fn tier(&self, tier: TierIndex) -> TierStatus {
        self.with(|ledger| ledger.tier_status(tier))
    }

    pub fn backend(&self, backend: BackendIndex) -> BackendStatus {
        self.with(|ledger| ledger.backend_status(backend))
    }

    /// Slots in use on a GPU node.
    pub fn node_used(&self, node: usize) -> u32 {
        self.with(|ledger| ledger.caps.get(CapKind::Node, node).used.slots)
    }

    /// Slots of a backend that a tier uses.
    pub fn inflight(&self, tier: TierIndex, backend: BackendIndex) -> u32 {
        self.with(|ledger| *ledger.pair(usize::from(tier), usize::from(backend)))
    }

    /// Cost units of a tenant so far: prompt tokens, and twice the output tokens.
    pub fn tenant_cost(&self, tenant: &Tenant) -> u64 {
        self.with(|ledger| {
            let at = ledger.find_tenant(tenant);
            at.map_or(0, |at| ledger.tenants[at as usize].cost)
        })
    }

    /// Whether a backend may get requests: neither it nor its node is drained, and it is not down.
    pub fn is_usable(&self, backend: BackendIndex) -> bool {
        self.with(|ledger| ledger.is_available(usize::from(backend)))
    }

    /// Every permit of one generation of a worker. Its owner compares them with the requests that it knows.
    pub fn permits_of(&self, owner: Owner) -> Vec<Ticket> {
        let (mut permits, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            permits.reserve(ROWS_AT_ONCE);
            from = self.with(|ledger| ledger.permits_of(owner, at, &mut permits));
        }
        permits
    }

    /// When the longest running request of a backend was granted.
    pub fn oldest_running(&self, backend: BackendIndex) -> Option<Nanos> {
        let (mut oldest, mut from) = (None, Some(0));
        while let Some(at) = from {
            let (found, next) = self.with(|ledger| ledger.oldest_running(backend, at));
            oldest = [oldest, found].into_iter().flatten().min();
            from = next;
        }
        oldest
    }

    pub fn invariants(&self) -> Invariants {
        let mut recount = Recount::new(self.with(|ledger| RecountSizes::of(ledger)));
        self.with(|ledger| ledger.invariants(&mut recount))
    }
}
