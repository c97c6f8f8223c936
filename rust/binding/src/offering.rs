//! What a worker asks of admission, and what it hears.

use penstock_admission::{
    Candidate, Candidates, Decision, Load, Notification, Offer, PermitOutcome, Refusal, Refused,
    Ticket,
};
use penstock_core::routing::{BackendIndex, Plan};
use penstock_core::time::Now;
use penstock_core::tokens::TokenCounter;
use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::engine::Engine;
use crate::gateway::Gateway;
use crate::standing::Standing;

impl Engine {
    /// What a request asks of admission now; `failed`: the backends that it has tried.
    pub(super) fn offer(&self, plan: &Plan, standing: &Standing, failed: &[BackendIndex]) -> Offer {
        let Standing { tenant, band, .. } = *standing;
        let prompt = self.shared.ratios.get(plan.model_index).count(plan.prompt);
        Offer {
            owner: self.owner,
            tier: plan.tier,
            tenant,
            priority: band,
            slots: plan.slots,
            prompt: prompt.min(u64::from(u32::MAX)) as u32,
            max_tokens: plan.most_output().map(|most| most.min(u64::from(u32::MAX)) as u32),
            tools: plan.tools,
            streams: plan.stream || self.table.tiers[usize::from(plan.tier)].streams_whole,
            bytes: plan.tail().len() as u64,
            candidates: self.candidates(plan, standing, failed),
        }
    }

    /// The backends that may serve a request, but for those that have failed it: who has read its
    /// beginning before, then the emptiest.
    fn candidates(&self, plan: &Plan, standing: &Standing, failed: &[BackendIndex]) -> Candidates {
        let all = &self.table.tiers[usize::from(plan.tier)].backends;
        if let ([only], []) = (all.as_slice(), failed) {
            return Candidates::cold([*only]);
        }
        let life = |backend| self.admission.load(backend).generation;
        let mut hits = self.shared.prefixes.find(&plan.blocks, life);
        let session = standing.session(&self.table.tiers[usize::from(plan.tier)]);
        // The session's own backend is as good as one that has read everything.
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
                let fullness = self.admission.load(backend).utilization.unwrap_or(u32::MAX);
                (fullness, Candidate { backend, hit: tokens })
            })
            .collect();
        candidates.sort_by_key(|(fullness, candidate)| {
            (*fullness == u32::MAX, std::cmp::Reverse(candidate.hit), *fullness)
        });
        Candidates::of(candidates.into_iter().map(|(_, candidate)| candidate))
    }

    /// Offers a call and acts on the decision.
    pub(super) fn offered(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        offer: &Offer,
        now: Now,
    ) {
        match self.admission.offer(offer, now.mono) {
            Decision::Granted(grant) => {
                self.hold(key, grant.ticket);
                self.start(gateway, key, grant, now);
            }
            Decision::Queued(ticket) => {
                self.hold(key, ticket);
                self.arm(key);
                // It may have been let in all the same, past others that do not fit.
                self.collect(gateway, now);
            }
            Decision::Refused(refused) => self.refuse(gateway.py(), key, refused, true, now),
        }
    }

    fn hold(&mut self, key: CallKey, ticket: Ticket) {
        self.rows[ticket.row as usize] = Some(key);
        if let Some(call) = self.calls.get(key) {
            call.ticket = Some(ticket);
        }
    }

    /// Others have put something into the mailbox.
    pub(crate) fn woken(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        self.shared.woken(self.owner.worker);
        self.collect(gateway, now);
    }

    /// Takes what admission has decided meanwhile: grants to start, waiting ones to turn away.
    pub(super) fn collect(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        while self.admission.has_notifications(self.owner.worker) {
            let mut mail = std::mem::take(&mut self.mail);
            self.admission.take_grants(self.owner.worker, &mut mail);
            // Their rows are free already: the first new offer may get one of them.
            let turned_away: Vec<(CallKey, Refused)> =
                mail.iter().filter_map(|notice| self.let_go_of_row(notice)).collect();
            for notice in mail.drain(..) {
                let Notification::Granted(grant) = notice else { continue };
                if let Some(key) = self.rows[grant.ticket.row as usize] {
                    self.start(gateway, key, grant, now);
                } else {
                    self.admission.release(grant.ticket, PermitOutcome::Ignored, now.mono);
                }
            }
            self.mail = mail;
            for (key, refused) in turned_away {
                // A row knows eight backends; its tier may have another that is well.
                let is_there = |load: Load| !load.has_outage;
                if refused.why == Refusal::NoBackend
                    && let Some(offer) = self.next_offer(key, is_there)
                {
                    self.offered(gateway, key, &offer, now);
                } else {
                    self.refuse(gateway.py(), key, refused, false, now);
                }
            }
        }
    }

    /// The call that was turned away, which is no longer in its row.
    fn let_go_of_row(&mut self, notice: &Notification) -> Option<(CallKey, Refused)> {
        let Notification::Refused(ticket, refused) = *notice else { return None };
        let key = self.rows[ticket.row as usize].take()?;
        self.calls.get(key)?.ticket = None;
        Some((key, refused))
    }

    /// The offer of a second attempt, if any backend is left for it that is `good_enough`. It may wait as
    /// long as a new one; the total time of the request bounds both.
    pub(super) fn next_offer(
        &mut self,
        key: CallKey,
        good_enough: impl Fn(Load) -> bool,
    ) -> Option<Offer> {
        let call = self.calls.take(key)?;
        let offer = self.offer(&call.exchange.plan, &call.standing, &call.failed);
        self.calls.put_back(key, call);
        let is_usable = |candidate: Candidate| {
            let backend = candidate.backend;
            self.admission.is_usable(backend) && good_enough(self.admission.load(backend))
        };
        offer.candidates.iter().any(is_usable).then_some(offer)
    }
}
