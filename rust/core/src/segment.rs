//! The memory that all processes of one Penstock share. It is mapped before the workers are forked.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use penstock_admission::shm::{Holder, Layout, Names, NamesParts, Open, Region, Wakers};
use penstock_admission::{
    Admission, AdmissionParts, BackendLimits, Health, PrefixIndex, PrefixParts, Sizes, TierLimits,
};

use crate::metrics::{Registry, RegistryParts};
use crate::routing::{AdaptiveMode, BackendIndex, Table, TierIndex};
use crate::time::{Nanos, seconds};
use crate::tokens::{Ratios, RatiosParts};

/// What kind of memory the segment is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Ordinary memory, for one process.
    Private,
    /// A memfd that forked processes share.
    Shared,
}

/// The shared state and the handles on its parts.
#[derive(Debug, Clone)]
pub struct Segment {
    pub admission: Admission,
    pub registry: Registry,
    pub prefixes: PrefixIndex,
    /// What each backend calls its model.
    pub serves: Names,
    pub ratios: Ratios,
    region: Arc<Region>,
    wakers: Arc<Wakers>,
    was_ready: Open<AtomicU32>,
    contexts: Open<AtomicU64>,
    silences: Open<AtomicU64>,
}

impl Segment {
    /// Computes the layout, maps the memory and initialises every part.
    pub fn new(table: &Table, workers: usize, memory: Memory, now: Nanos) -> io::Result<Self> {
        let sizes = sizes(table, workers);
        let mut layout = Layout::new();
        let admission = AdmissionParts::add(&mut layout, &sizes);
        let registry = RegistryParts::add(&mut layout, workers, table.tiers.len());
        let prefixes = PrefixParts::add(&mut layout, table.backends.len());
        let serves = NamesParts::add(&mut layout, table.backends.len());
        let ratios = RatiosParts::add(&mut layout, table.models.len());
        let was_ready = layout.open(table.tiers.len());
        let contexts = layout.open(table.backends.len());
        let silences = layout.open(table.backends.len());
        let (region, wakers) = match memory {
            Memory::Private => (Region::on_heap(&layout), Wakers::none()),
            Memory::Shared => (Region::shared(&layout, "penstock")?, Wakers::new(workers)?),
        };
        let (region, wakers) = (Arc::new(region), Arc::new(wakers));
        let segment = Segment {
            admission: Admission::create(region.clone(), admission, wakers.clone(), &sizes, now),
            registry: Registry::new(region.clone(), registry),
            prefixes: PrefixIndex::new(region.clone(), prefixes),
            serves: Names::new(region.clone(), serves),
            ratios: Ratios::new(region.clone(), ratios),
            region,
            wakers,
            was_ready,
            contexts,
            silences,
        };
        for (at, backend) in table.backends.iter().enumerate() {
            match &backend.serves {
                Some(name) => segment.serves.set(at, name),
                // No request can be written for it before a probe has learned the name.
                None => {
                    segment.admission.set_health(at as BackendIndex, Health::Down, now);
                }
            }
        }
        Ok(segment)
    }

    /// The descriptor that becomes readable when a worker has a notification.
    pub fn wake_fd(&self, worker: u16) -> Option<RawFd> {
        self.wakers.fd(usize::from(worker))
    }

    /// Clears a worker's descriptor until the next notification.
    pub fn woken(&self, worker: u16) {
        self.wakers.drain(usize::from(worker));
    }

    /// The process that holds the lock right now.
    pub fn holder(&self) -> Option<Holder> {
        self.region.holder()
    }

    /// Kills a process that holds the lock and makes no progress. Returns whether it still held it.
    pub fn kill(&self, holder: Holder) -> io::Result<bool> {
        self.region.kill(holder)
    }

    /// A backend's context length as the backend reports it: tokens of prompt and answer together.
    pub fn context(&self, backend: BackendIndex) -> Option<u64> {
        let tokens = self.region.open(self.contexts)[usize::from(backend)].load(Ordering::Relaxed);
        (tokens != 0).then_some(tokens)
    }

    pub fn set_context(&self, backend: BackendIndex, tokens: Option<u64>) {
        let context = &self.region.open(self.contexts)[usize::from(backend)];
        context.store(tokens.unwrap_or(0), Ordering::Relaxed);
    }

    /// Streams of a backend whose first event timed out, since the start.
    pub fn silences(&self, backend: BackendIndex) -> u64 {
        self.region.open(self.silences)[usize::from(backend)].load(Ordering::Relaxed)
    }

    pub fn count_silence(&self, backend: BackendIndex) {
        self.region.open(self.silences)[usize::from(backend)].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a tier has had a usable backend since the start.
    pub fn was_ready(&self, tier: TierIndex) -> bool {
        self.region.open(self.was_ready)[usize::from(tier)].load(Ordering::Relaxed) != 0
    }

    pub fn set_ready(&self, tier: TierIndex) {
        self.region.open(self.was_ready)[usize::from(tier)].store(1, Ordering::Relaxed);
    }
}

fn sizes(table: &Table, workers: usize) -> Sizes {
    // Every connection may carry one request, and a tenth more may be closing.
    let rows = (table.connections + table.connections / 10) * workers + 16;
    let tier = |tier: &crate::routing::Tier| TierLimits {
        concurrency: tier.concurrency,
        backends: tier.backends.clone(),
        queue_requests: tier.queue.requests,
        queue_tokens: tier.queue.tokens,
        queue_bytes: tier.queue.bytes,
        tenant_requests: tier.queue.tenant_requests,
        wait: seconds(tier.queue.wait),
        first_token: tier.slo.first_token,
        share: tier.share,
        priority_weights: tier.bands,
    };
    let tiers_on = |at: usize| {
        table.tiers.iter().filter(move |tier| tier.backends.contains(&(at as BackendIndex)))
    };
    let backend = |(at, backend): (usize, &crate::routing::Backend)| BackendLimits {
        slots: backend.concurrency,
        node: backend.node,
        prefill: backend.prefill,
        kv: backend.kv,
        weight: backend.weight,
        abort_grace: backend.abort_grace,
        adaptive: tiers_on(at).map(|tier| tier.adaptive).max().unwrap_or(AdaptiveMode::Off),
        inter_token: tiers_on(at).filter_map(|tier| tier.slo.inter_token).min(),
    };
    Sizes {
        rows,
        tiers: table.tiers.iter().map(tier).collect(),
        backends: table.backends.iter().enumerate().map(backend).collect(),
        nodes: table.nodes.clone(),
        workers,
    }
}
