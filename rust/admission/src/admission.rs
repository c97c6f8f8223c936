//! [`Admission`]: the limiter as its users hold it. Each call takes the lock, does one bounded
//! thing, lets go, and then wakes whom that concerns.

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
use crate::shm::{Found, Guard, Layout, Region, Wakers};
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::state::load::Load;
use crate::state::parts::Parts;
use crate::state::sizes::Sizes;
use crate::time::Nanos;

/// Letters that are taken under one taking of the lock.
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

/// A handle on the shared state; as many as there are processes may work at once.
#[derive(Debug, Clone)]
pub struct Admission {
    region: Arc<Region>,
    parts: Parts,
    wakers: Arc<Wakers>,
    /// The worker that this handle belongs to, as a bit: it looks at its mail by itself.
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

    /// The same, for one worker: whoever does something through it looks at its own mail after.
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
        if wake & !self.own_worker != 0 {
            self.wakers.wake(wake & !self.own_worker);
        }
        result
    }

    /// Takes the lock, and repairs what a dead holder has left behind.
    fn lock(&self) -> Guard<'_> {
        let mut guard = self.region.lock();
        if guard.found() == Found::Inconsistent {
            Ledger::open(&mut guard, &self.parts, &self.region).rebuild();
            guard.repaired();
        }
        guard
    }

    /// Lets a request in, queues it, or refuses it.
    pub fn offer(&self, offer: &Offer, now: Nanos) -> Decision {
        self.with(|ledger| ledger.offer(offer, now))
    }

    /// The client of a request has left. Returns whether the request was still waiting; a running
    /// one is not ended here but released by its owner.
    pub fn cancel(&self, ticket: Ticket, now: Nanos) -> bool {
        self.with(|ledger| ledger.cancel(ticket, now))
    }

    /// Whether a worker has mail; costs no lock.
    pub fn has_notifications(&self, worker: u16) -> bool {
        self.region.open(self.parts.has_notifications)[usize::from(worker)].load(Ordering::Acquire)
            != 0
    }

    /// Moves a worker's mail to `out`; what was granted runs from now on.
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

    /// How full a backend was a moment ago; costs no lock.
    pub fn load(&self, backend: BackendIndex) -> Load {
        let word = &self.region.open(self.parts.loads)[usize::from(backend)];
        Load::of_word(word.load(Ordering::Relaxed))
    }

    /// The first token of a running request has come.
    pub fn first_token(&self, ticket: Ticket, now: Nanos) {
        self.with(|ledger| ledger.first_token(ticket, now));
    }

    /// Reserves more KV tokens for a running request.
    pub fn grow(&self, ticket: Ticket, tokens: u64) {
        self.with(|ledger| ledger.grow(ticket, tokens));
    }

    /// What a running request has really used.
    pub fn settle(&self, ticket: Ticket, usage: Usage) {
        self.with(|ledger| ledger.settle(ticket, usage));
    }

    /// The client is served or gone; the backend may still be at work.
    pub fn closing(&self, ticket: Ticket) {
        self.with(|ledger| ledger.closing(ticket));
    }

    /// Gives a permit back. False: it was back already.
    pub fn release(&self, ticket: Ticket, outcome: PermitOutcome, now: Nanos) -> bool {
        self.with(|ledger| ledger.release(ticket, outcome, now))
    }

    /// Gives a permit back because its backend had no room, and queues the request again.
    pub fn pushback(&self, ticket: Ticket, now: Nanos) -> Result<(), Refusal> {
        self.with(|ledger| ledger.pushback(ticket, now))
    }

    /// Changes the slots of a backend; 0 drains it.
    pub fn set_limits(&self, backend: BackendIndex, slots: u32, now: Nanos) {
        self.with(|ledger| ledger.set_limits(backend, slots, now));
    }

    /// What a probe has found. Returns how long requests did not get through, if that is over by this:
    /// a good answer ends it where connections were refused, or where the backend was down.
    pub fn set_health(&self, backend: BackendIndex, health: Health, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.set_health(backend, health, now))
    }

    /// A request did not get through to a backend, which is closed for a moment (50 ms, doubling up to
    /// 2 s) and then tried by one request at a time; for [`Fault::Unavailable`] from the third in a row
    /// on. Returns whether that begins an outage.
    pub fn fail(&self, backend: BackendIndex, fault: Fault, now: Nanos) -> bool {
        self.with(|ledger| ledger.fail(backend, fault, now))
    }

    /// A request got through to a backend after some had not. Returns for how long none did, if that
    /// is over now.
    pub fn reached(&self, backend: BackendIndex, proof: Proof, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.reached(backend, proof, now))
    }

    /// Something of a request's answer has come. Returns for how long none got through to its backend, if
    /// that is over now: an answer to a request that was sent before proves less than one that was sent since.
    pub fn answered(&self, ticket: Ticket, now: Nanos) -> Option<Nanos> {
        self.with(|ledger| ledger.answered(ticket, now))
    }

    /// Nobody listens at a backend, as a probe has found: if it has broken connections off, it has died.
    pub fn note_refused(&self, backend: BackendIndex, now: Nanos) {
        self.with(|ledger| ledger.confirm_crash(backend, Fault::Refused, now));
    }

    /// Gives a permit back because the request has not begun; it goes to another backend, or waits with
    /// its deadline and its place. False: there is no such permit.
    pub fn requeue(&self, ticket: Ticket, now: Nanos) -> bool {
        self.with(|ledger| ledger.requeue(ticket, now))
    }

    /// A backend broke the connection off under a request with this body, a hash of it.
    pub fn note_reset(&self, backend: BackendIndex, body: u64, now: Nanos) {
        self.with(|ledger| ledger.note_reset(backend, body, now));
    }

    /// Whether a body is set aside because servers have died under it. `hash` is only called, and the
    /// lock only taken, while two have died within a minute.
    pub fn is_quarantined(&self, hash: impl FnOnce() -> u64, now: Nanos) -> bool {
        let until = self.region.open(self.parts.quarantine_until)[0].load(Ordering::Relaxed);
        now < until && {
            let body = hash();
            self.with(|ledger| ledger.is_quarantined(body, now))
        }
    }

    /// The engine has said how many tokens its KV memory holds.
    pub fn learn_kv(&self, backend: BackendIndex, tokens: u64, now: Nanos) {
        self.with(|ledger| ledger.learn_kv(backend, tokens, now));
    }

    /// Times between tokens that a backend has shown since the last call.
    pub fn note_inter_token(&self, backend: BackendIndex, times: &Histogram) {
        self.with(|ledger| {
            let state = &mut ledger.backends[usize::from(backend)];
            state.last_response = ledger.globals.now;
            state.adaptive.inter_token(times);
        });
    }

    /// A backend's own numbers say that it has too much to do.
    pub fn note_overload(&self, backend: BackendIndex) {
        self.with(|ledger| ledger.backends[usize::from(backend)].adaptive.note_overload());
    }

    /// Time has passed. To be called every 10 ms, by as many processes as like.
    pub fn tick(&self, now: Nanos) {
        self.with(|ledger| ledger.tick(now));
    }

    /// Begins a life of a worker, before it is forked. Returns its generation.
    pub fn begin_worker(&self, worker: u16) -> u16 {
        self.with(|ledger| ledger.begin_worker(worker))
    }

    /// A life of a worker is over: its waiting requests go, its permits pass through `closing`.
    pub fn reclaim(&self, dead: Owner, now: Nanos) {
        self.with(|ledger| ledger.reclaim(dead, now));
    }

    /// Makes everything that is derived anew from the rows. Changes nothing if all was well.
    pub fn rebuild(&self) {
        // A method's path does not fit every lifetime of the ledger.
        #[allow(clippy::redundant_closure_for_method_calls)]
        self.with(|ledger| ledger.rebuild());
    }

    /// How many requests there is room for, queued and running together.
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

    /// Slots that a tier uses of a backend.
    pub fn inflight(&self, tier: TierIndex, backend: BackendIndex) -> u32 {
        self.with(|ledger| *ledger.pair(usize::from(tier), usize::from(backend)))
    }

    /// Cost units charged to a tenant so far.
    pub fn tenant_cost(&self, tenant: &Tenant) -> u64 {
        self.with(|ledger| {
            let at = ledger.find_tenant(tenant);
            at.map_or(0, |at| ledger.tenants[at as usize].cost)
        })
    }

    /// Whether a backend may get requests: it is not down and not drained, nor is its node.
    pub fn is_usable(&self, backend: BackendIndex) -> bool {
        self.with(|ledger| ledger.is_available(usize::from(backend)))
    }

    /// Every permit of one life of a worker: what its owner compares with what it knows.
    pub fn permits_of(&self, owner: Owner) -> Vec<Ticket> {
        let (mut permits, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            permits.reserve(ROWS_AT_ONCE);
            from = self.with(|ledger| ledger.permits_of(owner, at, &mut permits));
        }
        permits
    }

    /// When the request that runs longest on a backend was granted its permit.
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
