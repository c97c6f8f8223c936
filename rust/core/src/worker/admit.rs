//! What a worker offers to admission, and what follows from its decisions.

use penstock_admission::{
    Candidate, Candidates, Decision, Load, Notification, Offer, PermitOutcome, Refusal, Refused,
    Ticket,
};

use super::effects::Effects;
use super::machine::Worker;
use super::state::RequestId;
use crate::generation::Generation;
use crate::identity::RequestAttributes;
use crate::routing::{BackendIndex, Plan};
use crate::time::Now;
use crate::tokens::TokenCounter;

impl Worker {
    /// What a request asks of admission now; `failed`: the backends that it has tried.
    pub(super) fn offer(
        &self,
        generation: &Generation,
        plan: &Plan,
        attributes: &RequestAttributes,
        failed: &[BackendIndex],
    ) -> Offer {
        let RequestAttributes { tenant, priority, .. } = *attributes;
        let prompt = self.shared.ratios.get(plan.model_index).count(plan.prompt);
        let tier = &generation.table.tiers[usize::from(plan.tier)];
        Offer {
            owner: self.owner,
            tier: plan.tier,
            tenant,
            priority,
            slots: plan.slots,
            prompt: prompt.min(u64::from(u32::MAX)) as u32,
            max_tokens: plan.most_output().map(|most| most.min(u64::from(u32::MAX)) as u32),
            tools: plan.tools,
            streams: plan.streams(tier.streams_whole),
            bytes: plan.tail().len() as u64,
            candidates: self.candidates(generation, plan, attributes, failed),
        }
    }

    /// The backends that may serve a request, best first: those that have most of its prompt cached, then the
    /// least loaded. Those in `failed` are left out.
    fn candidates(
        &self,
        generation: &Generation,
        plan: &Plan,
        attributes: &RequestAttributes,
        failed: &[BackendIndex],
    ) -> Candidates {
        let tier = &generation.table.tiers[usize::from(plan.tier)];
        let all = &tier.backends;
        if let ([only], []) = (all.as_slice(), failed) {
            return Candidates::cold([*only]);
        }
        let life = |backend| self.admission.load(backend).generation;
        let mut hits = self.shared.prefixes.find(&plan.blocks, life);
        let session = attributes.session(tier);
        // The backend of the request's session counts as one that has the whole prompt cached.
        let whole = plan.prompt.bytes;
        hits.splice(
            0..0,
            self.shared.prefixes.find(&session, life).into_iter().take(1).map(|mut hit| {
                hit.bytes = whole;
                hit
            }),
        );
        let ratio = self.shared.ratios.get(plan.model_index).bytes_per_token();
        let mut candidates: Vec<(u32, Candidate)> = all
            .iter()
            .filter(|backend| !failed.contains(backend))
            .map(|&backend| {
                let hit = hits.iter().find(|hit| hit.backend == backend);
                let tokens = hit.map_or(0, |hit| (hit.bytes as f64 / ratio) as u32);
                let utilization = self.admission.load(backend).utilization.unwrap_or(u32::MAX);
                (utilization, Candidate { backend, hit: tokens })
            })
            .collect();
        candidates.sort_by_key(|(utilization, candidate)| {
            (*utilization == u32::MAX, std::cmp::Reverse(candidate.hit), *utilization)
        });
        Candidates::of(candidates.into_iter().map(|(_, candidate)| candidate))
    }

    /// Offers a request and acts on the decision.
    pub(super) fn make_offer(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        offer: &Offer,
        now: Now,
    ) {
        match self.admission.offer(offer, now.mono) {
            Decision::Granted(grant) => {
                self.hold(id, grant.ticket);
                self.start(io, id, grant, now);
            }
            Decision::Queued(ticket) => {
                self.hold(id, ticket);
                self.arm(id);
                // It may have been granted all the same: those before it in the queue may be too large to fit
                // now.
                self.collect(io, now);
            }
            Decision::Refused(refused) => self.refuse(io, id, refused, true, now),
        }
    }

    fn hold(&mut self, id: RequestId, ticket: Ticket) {
        self.rows[ticket.row as usize] = Some(id);
        if let Some(request) = self.requests.get_mut(id) {
            request.ticket = Some(ticket);
        }
    }

    /// Other processes have left notifications for this worker.
    pub fn woken(&mut self, io: &mut impl Effects, now: Now) {
        self.shared.woken(self.owner.worker);
        self.collect(io, now);
        self.check_invariants();
    }

    /// Takes what admission has decided meanwhile: grants to start, waiting requests to turn away.
    pub(super) fn collect(&mut self, io: &mut impl Effects, now: Now) {
        while self.admission.has_notifications(self.owner.worker) {
            let mut notices = std::mem::take(&mut self.notices);
            self.admission.take_grants(self.owner.worker, &mut notices);
            // Detach all of them first: their rows are free already, and the next offer may get one of these.
            let turned_away: Vec<(RequestId, Refused)> =
                notices.iter().filter_map(|notice| self.detach_row(notice)).collect();
            for notice in notices.drain(..) {
                let Notification::Granted(grant) = notice else { continue };
                if let Some(id) = self.rows[grant.ticket.row as usize] {
                    // A panic over this one is not the fault of the request whose event has let it in.
                    let cause = self.current.replace(id);
                    self.start(io, id, grant, now);
                    self.current = cause;
                } else {
                    self.admission.release(grant.ticket, PermitOutcome::Ignored, now.mono);
                }
            }
            self.notices = notices;
            for (id, refused) in turned_away {
                // A row holds eight candidates; its tier may have another backend that is usable.
                let is_there = |load: Load| !load.has_outage;
                if refused.why == Refusal::NoBackend
                    && let Some(offer) = self.next_offer(id, is_there)
                {
                    self.make_offer(io, id, &offer, now);
                } else {
                    self.refuse(io, id, refused, false, now);
                }
            }
        }
    }

    /// The request that was turned away, which is no longer in its row.
    fn detach_row(&mut self, notice: &Notification) -> Option<(RequestId, Refused)> {
        let Notification::Refused(ticket, refused) = *notice else { return None };
        let id = self.rows[ticket.row as usize].take()?;
        self.requests.get_mut(id)?.ticket = None;
        Some((id, refused))
    }

    /// The offer of a further attempt, if any backend is left for it that is `good_enough`. It may wait as
    /// long as a new one; the total time of the request bounds both.
    pub(super) fn next_offer(
        &self,
        id: RequestId,
        good_enough: impl Fn(Load) -> bool,
    ) -> Option<Offer> {
        let request = self.requests.get(id)?;
        let plan = &request.exchange.plan;
        let offer = self.offer(&request.generation, plan, &request.attributes, &request.failed);
        let is_usable = |candidate: Candidate| {
            let backend = candidate.backend;
            self.admission.is_usable(backend) && good_enough(self.admission.load(backend))
        };
        offer.candidates.iter().any(is_usable).then_some(offer)
    }

    /// Takes a waiting request out of the queue.
    pub(super) fn leave_queue(&mut self, id: RequestId, now: Now) {
        if let Some(ticket) = self.requests.get_mut(id).and_then(|request| request.ticket.take()) {
            self.rows[ticket.row as usize] = None;
            self.admission.cancel(ticket, now.mono);
        }
    }
}
