//! `Admission`: the limiter alone, on the caller's own time, for simulations of a gateway without
//! sockets. The gateway itself uses the one in its `Segment`.

use penstock_admission::{
    Admission as Core, Candidate, Candidates, Decision, Grant, Health, Notification, Offer, Owner,
    PermitOutcome, Priority, Refused, Tenant, Ticket, Usage,
};
use penstock_core::identity::{priority_of, tenant_of};
use penstock_core::openai::Code;
use penstock_core::routing::{RoutingConfig, Table};
use penstock_core::segment::{Memory, Segment};
use penstock_core::time::MILLISECOND;
use penstock_core::worker::code_of;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{health_of, known};
use crate::snapshot;

/// Times are nanoseconds of any monotonic clock; tickets are numbers.
#[pyclass(frozen, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Admission {
    core: Core,
    table: Table,
}

/// The only worker of such a simulation.
const WORKER: Owner = Owner { worker: 0, generation: 0 };

/// A ticket as a number.
fn number(ticket: Ticket) -> u64 {
    u64::from(ticket.generation) << 32 | u64::from(ticket.row)
}

fn ticket(number: u64) -> Ticket {
    Ticket { row: number as u32, generation: (number >> 32) as u32 }
}

fn refused(Refused { why, retry_after, .. }: Refused) -> (String, u64) {
    let code: Code = code_of(why);
    (format!("refused:{}", code.name()), retry_after / MILLISECOND)
}

impl Admission {
    fn backend(&self, backend: u16) -> PyResult<u16> {
        known("backend", backend, self.table.backends.len())
    }
}

#[pymethods]
impl Admission {
    /// `config`: the routing part of the configuration as JSON.
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let config: RoutingConfig = serde_json::from_str(config)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let table = Table::build(config).map_err(PyValueError::new_err)?;
        let segment = Segment::new(&table, 1, Memory::Private, 0)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Admission { core: segment.admission, table })
    }

    /// Offers a request. Returns `granted`, ticket and backend; or `queued`, ticket and 0; or `refused:<code>`, 0 and
    /// the milliseconds to wait. `hits`: how many of the prompt's tokens a backend has cached.
    #[pyo3(signature = (now, *, tier, prompt_tokens, max_tokens=None, held_bytes=0, slots=1, tenant=None, weight=1, priority="normal", hits=vec![], streams=true))]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // keyword arguments of Python
    fn offer(
        &self,
        now: u64,
        tier: u16,
        prompt_tokens: u32,
        max_tokens: Option<u32>,
        held_bytes: u64,
        slots: u32,
        tenant: Option<&str>,
        weight: u32,
        priority: &str,
        hits: Vec<(u16, u32)>,
        streams: bool,
    ) -> PyResult<(String, u64, u64)> {
        let Some(config) = self.table.tiers.get(usize::from(tier)) else {
            return Err(PyValueError::new_err(format!("no tier {tier}")));
        };
        let priority: Priority = priority_of(Some(priority))
            .map_err(|_| PyValueError::new_err(format!("no priority {priority:?}")))?;
        let candidates = config.backends.iter().map(|&backend| {
            let hit = hits.iter().find(|(at, _)| *at == backend).map_or(0, |&(_, tokens)| tokens);
            Candidate { backend, hit }
        });
        let offer = Offer {
            owner: WORKER,
            tier,
            tenant: Tenant { weight, ..tenant_of(tenant) },
            priority,
            slots,
            prompt: prompt_tokens,
            max_tokens,
            tools: false,
            streams,
            bytes: held_bytes,
            candidates: Candidates::of(candidates),
        };
        Ok(match self.core.offer(&offer, now) {
            Decision::Granted(Grant { ticket, backend, .. }) => {
                ("granted".to_owned(), number(ticket), u64::from(backend))
            }
            Decision::Queued(ticket) => ("queued".to_owned(), number(ticket), 0),
            Decision::Refused(why) => {
                let (code, retry_after) = refused(why);
                (code, 0, retry_after)
            }
        })
    }

    /// The decisions about waiting requests: ticket, then word and number as `offer` returns them.
    fn take(&self) -> Vec<(u64, String, u64)> {
        let mut notifications = Vec::new();
        self.core.take_grants(WORKER.worker, &mut notifications);
        let decisions = notifications.into_iter().map(|notification| match notification {
            Notification::Granted(grant) => {
                (number(grant.ticket), "granted".to_owned(), u64::from(grant.backend))
            }
            Notification::Refused(ticket, why) => {
                let (code, retry_after) = refused(why);
                (number(ticket), code, retry_after)
            }
        });
        decisions.collect()
    }

    /// The client has left. Returns whether the request was still waiting.
    fn cancel(&self, number: u64, now: u64) -> bool {
        self.core.cancel(ticket(number), now)
    }

    /// The request has its first token: its prompt has been read.
    fn first_token(&self, number: u64, now: u64) {
        self.core.first_token(ticket(number), now);
    }

    /// Reserves more KV tokens.
    fn grow(&self, number: u64, tokens: u64) {
        self.core.grow(ticket(number), tokens);
    }

    /// Reports the tokens that the request has used.
    #[pyo3(signature = (number, prompt_tokens, output_tokens, cached_tokens=0))]
    fn settle(&self, number: u64, prompt_tokens: u32, output_tokens: u32, cached_tokens: u32) {
        let usage = Usage { prompt: prompt_tokens, cached: cached_tokens, output: output_tokens };
        self.core.settle(ticket(number), usage);
    }

    /// Gives the permit back; `outcome` is success, dropped or ignored. False: it was back already.
    #[pyo3(signature = (number, now, outcome="success"))]
    fn release(&self, number: u64, now: u64, outcome: &str) -> PyResult<bool> {
        let outcome = match outcome {
            "success" => PermitOutcome::Success,
            "dropped" => PermitOutcome::Dropped,
            "ignored" => PermitOutcome::Ignored,
            other => return Err(PyValueError::new_err(format!("no outcome {other:?}"))),
        };
        Ok(self.core.release(ticket(number), outcome, now))
    }

    /// The backend has refused the request as overloaded. True: it waits again; False: that happened too often.
    fn pushback(&self, number: u64, now: u64) -> bool {
        self.core.pushback(ticket(number), now).is_ok()
    }

    fn set_limit(&self, backend: u16, slots: u32, now: u64) -> PyResult<()> {
        self.core.set_limits(self.backend(backend)?, slots, now);
        Ok(())
    }

    /// `health` is unknown, healthy or down.
    fn set_health(&self, backend: u16, health: &str, now: u64) -> PyResult<()> {
        let health: Health = health_of(health)?;
        self.core.set_health(self.backend(backend)?, health, now);
        Ok(())
    }

    /// The engine has reported how many tokens its KV memory holds.
    fn set_kv_tokens(&self, backend: u16, tokens: u64, now: u64) -> PyResult<()> {
        self.core.learn_kv(self.backend(backend)?, tokens, now);
        Ok(())
    }

    /// Runs the timers. Call it every 10 ms of the caller's time.
    fn tick(&self, now: u64) {
        self.core.tick(now);
    }

    /// Cost units charged to a tenant.
    #[pyo3(signature = (tenant))]
    fn charged(&self, tenant: Option<&str>) -> u64 {
        self.core.tenant_cost(&tenant_of(tenant))
    }

    /// The conservation sums, and as `ok` whether all lists and counters agree with them.
    fn invariants<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        snapshot::invariants(py, &self.core)
    }
}
