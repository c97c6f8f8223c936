//! The counters as plain Python values, for the admin plane.

use penstock_core::admission::Health;
use penstock_core::metrics::Histogram;
use penstock_core::routing::{BackendIndex, TierIndex};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::engine::Engine;

pub(crate) fn take<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    let tier_name = |tier: Option<TierIndex>| {
        tier.map_or("", |tier| engine.table.tiers[usize::from(tier)].name.as_str())
    };
    let backend_name = |backend: Option<BackendIndex>| {
        backend.map_or("", |at| engine.table.backends[usize::from(at)].name.as_str())
    };

    let requests = PyList::empty(py);
    for (labels, count) in &engine.registry.requests {
        let letters = labels.term.letters();
        requests.append((
            tier_name(labels.tier),
            labels.model.as_deref().unwrap_or("unknown"),
            backend_name(labels.backend),
            labels.outcome.name(),
            std::str::from_utf8(&letters).unwrap_or_default(),
            count,
        ))?;
    }
    all.set_item("requests", requests)?;

    let shed = PyList::empty(py);
    for ((tier, code), count) in &engine.registry.shed {
        shed.append((tier_name(*tier), code.name(), count))?;
    }
    all.set_item("shed", shed)?;

    let attempts = PyList::empty(py);
    for ((backend, result), count) in &engine.registry.attempts {
        attempts.append((backend_name(Some(*backend)), result, count))?;
    }
    all.set_item("attempts", attempts)?;

    let normalised = PyList::empty(py);
    for ((backend, rule), count) in &engine.registry.normalised {
        normalised.append((backend_name(Some(*backend)), rule, count))?;
    }
    all.set_item("normalised", normalised)?;
    all.set_item("tiers", tiers(py, engine)?)?;
    all.set_item("backends", backends(py, engine)?)?;

    let nodes = PyList::empty(py);
    for (index, limit) in engine.table.nodes.iter().enumerate() {
        nodes.append((limit, engine.admission.node_cap(index).used.slots))?;
    }
    all.set_item("nodes", nodes)?;
    all.set_item("prompt_tokens", engine.registry.prompt_tokens)?;
    all.set_item("output_tokens", engine.registry.output_tokens)?;
    all.set_item("client_aborts", engine.registry.client_aborts)?;
    all.set_item("permits_leaked", engine.permits_leaked)?;
    all.set_item("log_dropped", engine.log_dropped)?;
    all.set_item("idle_upstreams", engine.pool.len())?;

    let sums = engine.admission.invariants();
    let invariants = PyDict::new(py);
    invariants.set_item("ok", sums.ok)?;
    invariants.set_item("arrived", sums.arrived)?;
    invariants.set_item("queued", sums.queued)?;
    invariants.set_item("running", sums.running)?;
    invariants.set_item("closing", sums.closing)?;
    invariants.set_item("finished", sums.finished)?;
    all.set_item("invariants", invariants)?;
    Ok(all)
}

fn tiers<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (index, tier) in engine.table.tiers.iter().enumerate() {
        let entry = PyDict::new(py);
        let tier_index = index as TierIndex;
        entry.set_item("name", &tier.name)?;
        entry.set_item("limit", tier.concurrency)?;
        entry.set_item("queue_depth", engine.admission.queue_depth(tier_index))?;
        let inflight = PyList::empty(py);
        for &backend in &tier.backends {
            let name = &engine.table.backends[usize::from(backend)].name;
            inflight.append((name, engine.admission.inflight(tier_index, backend)))?;
        }
        entry.set_item("inflight", inflight)?;
        let series = &engine.registry.tiers[index];
        for (name, histogram) in [
            ("queue_wait", &series.queue_wait),
            ("first_token", &series.first_token),
            ("inter_token", &series.inter_token),
            ("duration", &series.duration),
            ("overhead", &series.overhead),
        ] {
            entry.set_item(name, buckets(histogram))?;
        }
        list.append(entry)?;
    }
    Ok(list)
}

/// Upper bounds in seconds with the count of each bucket alone, and the sum of all times in seconds.
fn buckets(histogram: &Histogram) -> (Vec<(f64, u64)>, f64) {
    (histogram.buckets().collect(), histogram.sum_seconds())
}

/// The word for a backend's state in metrics and on status pages.
pub(crate) fn state(engine: &Engine, backend: BackendIndex) -> &'static str {
    match engine.admission.health(backend) {
        _ if engine.admission.backend_cap(backend).limit == Some(0) => "draining",
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Down => "down",
    }
}

fn backends<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (index, backend) in engine.table.backends.iter().enumerate() {
        let cap = engine.admission.backend_cap(index as BackendIndex);
        let health = state(engine, index as BackendIndex);
        let entry = PyDict::new(py);
        entry.set_item("name", &backend.name)?;
        entry.set_item("serves", &engine.serves[index])?;
        entry.set_item("limit", cap.limit)?;
        entry.set_item("inflight", cap.used.slots)?;
        entry.set_item("state", health)?;
        list.append(entry)?;
    }
    Ok(list)
}
