//! All counters of a worker.

use std::collections::HashMap;

use super::histogram::Histogram;
use crate::exchange::{Outcome, Record, Served, Term};
use crate::openai::Code;
use crate::routing::{BackendIndex, TierIndex};
use crate::time::Nanos;

/// The labels of `requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    pub tier: Option<TierIndex>,
    pub model: Option<String>,
    pub backend: Option<BackendIndex>,
    pub outcome: Outcome,
    pub term: Term,
}

/// The time series of one tier.
#[derive(Debug, Clone)]
pub struct TierHistograms {
    pub queue_wait: Histogram,
    pub first_token: Histogram,
    pub inter_token: Histogram,
    pub duration: Histogram,
    pub overhead: Histogram,
}

#[derive(Debug)]
pub struct Registry {
    pub requests: HashMap<RequestLabels, u64>,
    pub shed: HashMap<(Option<TierIndex>, Code), u64>,
    pub attempts: HashMap<(BackendIndex, &'static str), u64>,
    /// By backend and rule.
    pub normalised: HashMap<(BackendIndex, &'static str), u64>,
    pub tiers: Vec<TierHistograms>,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub client_aborts: u64,
}

impl Registry {
    pub fn new(tiers: usize) -> Self {
        let tier = TierHistograms {
            queue_wait: Histogram::coarse(),
            first_token: Histogram::coarse(),
            inter_token: Histogram::fine(),
            duration: Histogram::coarse(),
            overhead: Histogram::fine(),
        };
        Registry {
            requests: HashMap::new(),
            shed: HashMap::new(),
            attempts: HashMap::new(),
            normalised: HashMap::new(),
            tiers: vec![tier; tiers],
            prompt_tokens: 0,
            output_tokens: 0,
            client_aborts: 0,
        }
    }

    /// One inference request has ended; each is counted once, whatever its status (contract §8).
    pub fn finished(&mut self, record: &Record) {
        let Served { tier, backend } = record.served;
        let labels = RequestLabels {
            tier,
            model: record.model.clone(),
            backend,
            outcome: record.outcome,
            term: record.term,
        };
        *self.requests.entry(labels).or_default() += 1;
        if record.outcome == Outcome::Rejected
            && let Some(code) = record.code
        {
            *self.shed.entry((tier, code)).or_default() += 1;
        }
        if let Some(backend) = backend {
            for (rule, count) in record.rules.iter() {
                *self.normalised.entry((backend, rule.name())).or_default() += u64::from(count);
            }
        }
        if record.outcome == Outcome::ClientAbort {
            self.client_aborts += 1;
        }
        self.prompt_tokens += record.prompt_tokens.unwrap_or(0);
        self.output_tokens += record.output_tokens.unwrap_or(0);
        let Some(series) = tier.map(|tier| &mut self.tiers[usize::from(tier)]) else { return };
        if let Some(queued) = record.queued {
            series.queue_wait.observe(queued);
        }
        if let Some(first) = record.first {
            series.first_token.observe(first);
        }
        series.inter_token.add(&record.gaps);
        series.duration.observe(record.total);
    }

    /// Penstock's own time of one request: until the upstream write, and from the upstream read to
    /// the client write.
    pub fn overhead(&mut self, tier: TierIndex, time: Nanos) {
        self.tiers[usize::from(tier)].overhead.observe(time);
    }

    pub fn attempt(&mut self, backend: BackendIndex, result: &'static str) {
        *self.attempts.entry((backend, result)).or_default() += 1;
    }
}
