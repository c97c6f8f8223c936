//! All counters and gauges as plain Python values, for the admin plane.

use penstock_admission::{Admission, Health};
use penstock_core::metrics::{Gauge, Histogram, Series, TierHistogram, Total};
use penstock_core::routing::{BackendIndex, Table, TierIndex};
use penstock_core::segment::Segment;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// What the numbers are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    pub(crate) table: &'a Table,
    pub(crate) shared: &'a Segment,
    pub(crate) workers: usize,
}

impl Snapshot<'_> {
    pub(crate) fn to_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let all = PyDict::new(py);
        self.series(py, &all)?;
        all.set_item("tiers", self.tiers(py)?)?;
        all.set_item("backends", self.backends(py)?)?;
        all.set_item("nodes", self.nodes(py)?)?;
        self.totals(&all)?;
        all.set_item("workers", self.workers(py)?)?;
        Ok(all)
    }

    /// The word for a backend's state in metrics and on status pages.
    pub(crate) fn state(self, backend: BackendIndex) -> &'static str {
        let numbers = self.shared.admission.backend(backend);
        match numbers.health {
            _ if numbers.cap.limit() == Some(0) => "draining",
            Health::Down => "down",
            _ if numbers.has_outage => "ejected",
            _ if numbers.starts_slowly => "slow_start",
            Health::Healthy => "healthy",
            Health::Unknown => "unknown",
        }
    }

    /// The labelled counters, by family.
    fn series<'py>(self, py: Python<'py>, all: &Bound<'py, PyDict>) -> PyResult<()> {
        let table = self.table;
        let tier_name = |tier: Option<TierIndex>| {
            tier.map_or("", |tier| table.tiers[usize::from(tier)].name.as_str())
        };
        let backend_name = |at: BackendIndex| table.backends[usize::from(at)].name.as_str();
        let [requests, shed, attempts, normalised, drift] =
            std::array::from_fn(|_| PyList::empty(py));
        for (series, count) in self.shared.registry.series() {
            match series {
                Series::Requests { tier, model, backend, outcome, term } => {
                    let letters = term.letters();
                    requests.append((
                        tier_name(tier),
                        model.map_or("unknown", |model| table.models[usize::from(model)].as_str()),
                        backend.map_or("", backend_name),
                        outcome.name(),
                        std::str::from_utf8(&letters).unwrap_or_default(),
                        count,
                    ))?;
                }
                Series::Shed { tier, code } => {
                    shed.append((tier_name(tier), code.name(), count))?;
                }
                Series::Attempts { backend, result } => {
                    attempts.append((backend_name(backend), result.name(), count))?;
                }
                Series::Normalised { backend, rule } => {
                    normalised.append((backend_name(backend), rule.name(), count))?;
                }
                Series::Drift { backend, signal } => {
                    drift.append((backend_name(backend), signal.name(), count))?;
                }
            }
        }
        all.set_item("requests", requests)?;
        all.set_item("shed", shed)?;
        all.set_item("attempts", attempts)?;
        all.set_item("normalised", normalised)?;
        all.set_item("drift", drift)
    }

    fn tiers(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let list = PyList::empty(py);
        for (index, tier) in self.table.tiers.iter().enumerate() {
            let entry = PyDict::new(py);
            let tier_index = index as TierIndex;
            let numbers = self.shared.admission.tier(tier_index);
            entry.set_item("name", &tier.name)?;
            entry.set_item("limit", tier.concurrency)?;
            entry.set_item("queue_depth", numbers.queued)?;
            entry.set_item("slots_per_second", numbers.speed)?;
            let inflight = PyList::empty(py);
            for &backend in &tier.backends {
                let name = &self.table.backends[usize::from(backend)].name;
                inflight.append((name, self.shared.admission.inflight(tier_index, backend)))?;
            }
            entry.set_item("inflight", inflight)?;
            for kind in TierHistogram::ALL {
                let histogram = self.shared.registry.histogram(tier_index, kind);
                entry.set_item(kind.name(), buckets(&histogram))?;
            }
            list.append(entry)?;
        }
        Ok(list)
    }

    fn backends(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let list = PyList::empty(py);
        for (index, backend) in self.table.backends.iter().enumerate() {
            let numbers = self.shared.admission.backend(index as BackendIndex);
            let entry = PyDict::new(py);
            entry.set_item("name", &backend.name)?;
            entry.set_item("serves", self.shared.serves.get(index))?;
            entry.set_item("limit", numbers.cap.limit())?;
            entry.set_item("effective_limit", numbers.effective)?;
            entry.set_item("suggested_limit", numbers.suggested)?;
            entry.set_item("inflight", numbers.cap.used.slots)?;
            let used = numbers.cap.used;
            entry.set_item("prefill_tokens", tokens(py, used.prefill, numbers.prefill_limit)?)?;
            entry.set_item("kv_tokens", tokens(py, used.kv, numbers.kv_limit)?)?;
            entry.set_item("prefill_tokens_per_second", numbers.prefill_rate)?;
            entry.set_item("heard", numbers.last_response as f64 / 1e9)?;
            entry.set_item("state", self.state(index as BackendIndex))?;
            list.append(entry)?;
        }
        Ok(list)
    }

    fn nodes(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let list = PyList::empty(py);
        for (index, (name, limit)) in
            self.table.node_names.iter().zip(&self.table.nodes).enumerate()
        {
            list.append((name, limit, self.shared.admission.node_used(index)))?;
        }
        Ok(list)
    }

    /// The counters without labels.
    fn totals(self, all: &Bound<'_, PyDict>) -> PyResult<()> {
        for (name, total) in [
            ("prompt_tokens", Total::PromptTokens),
            ("output_tokens", Total::OutputTokens),
            ("client_aborts", Total::ClientAborts),
            ("permits_leaked", Total::PermitsLeaked),
            ("log_dropped", Total::LogDropped),
            ("series_dropped", Total::SeriesDropped),
        ] {
            all.set_item(name, self.shared.registry.total(total))?;
        }
        Ok(())
    }

    fn workers(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let (list, registry) = (PyList::empty(py), &self.shared.registry);
        for worker in 0..self.workers as u16 {
            let entry = PyDict::new(py);
            entry.set_item("connections", registry.gauge(worker, Gauge::Connections))?;
            let lag = registry.gauge(worker, Gauge::LoopLag) as f64 / 1e9;
            entry.set_item("loop_lag", lag)?;
            entry.set_item("idle_upstreams", registry.gauge(worker, Gauge::IdleUpstreams))?;
            list.append(entry)?;
        }
        Ok(list)
    }
}

pub(crate) fn invariants<'py>(
    py: Python<'py>,
    admission: &Admission,
) -> PyResult<Bound<'py, PyDict>> {
    let sums = admission.invariants();
    let invariants = PyDict::new(py);
    invariants.set_item("ok", sums.ok)?;
    invariants.set_item("arrived", sums.arrived)?;
    invariants.set_item("queued", sums.queued)?;
    invariants.set_item("running", sums.running)?;
    invariants.set_item("closing", sums.closing)?;
    invariants.set_item("finished", sums.finished)?;
    Ok(invariants)
}

/// The upper bound in seconds and the count of each bucket (not cumulative), and the sum of all times in seconds.
fn buckets(histogram: &Histogram) -> (Vec<(f64, u64)>, f64) {
    (histogram.buckets().collect(), histogram.sum_seconds())
}

/// A limit on tokens, and how many are used.
fn tokens(py: Python<'_>, used: u64, limit: Option<u64>) -> PyResult<Bound<'_, PyDict>> {
    let entry = PyDict::new(py);
    entry.set_item("used", used)?;
    entry.set_item("limit", limit)?;
    Ok(entry)
}
