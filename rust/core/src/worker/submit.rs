//! A request is read whole: it is refused, queued or begun.

use super::effects::Effects;
use super::faults;
use super::machine::Worker;
use super::state::{ClientId, Request, RequestId};
use crate::endpoint::Endpoint;
use crate::exchange::{Client, Exchange};
use crate::identity::RequestAttributes;
use crate::openai::{ApiError, Code};
use crate::routing::Plan;
use crate::time::{Nanos, Now};

/// The `retry-after` of refusals while a worker drains.
const RETRY_AFTER_MS: u64 = 1000;

/// A request that was read whole.
#[derive(Debug)]
pub struct Submitted<'a> {
    pub endpoint: &'static dyn Endpoint,
    pub body: &'a [u8],
    pub client: Client,
    /// Who gets the answer.
    pub client_id: ClientId,
    pub attributes: RequestAttributes,
}

impl Worker {
    /// A request has been read whole: it is refused, queued or begun. `None`: it was refused, and its client has the
    /// answer.
    pub fn submit(
        &mut self,
        io: &mut impl Effects,
        submitted: Submitted<'_>,
        now: Now,
    ) -> Option<RequestId> {
        let Submitted { endpoint, body, client, client_id, attributes } = submitted;
        self.current = None;
        let plan = match self.plan(endpoint, body, now) {
            Ok(plan) => plan,
            Err(error) => {
                let route = Plan::route(&self.generation.table, body);
                self.reject(io, endpoint, &error, &client, client_id, route, now);
                return None;
            }
        };
        self.budgets[usize::from(plan.tier)].request(now.mono);
        let generation = self.generation.clone();
        let offer = self.offer(&generation, &plan, &attributes, &[]);
        let id = self.ids.answer_id(endpoint.id_prefix());
        let exchange = Exchange::new(plan, client, &id, now);
        let id = self.requests.insert(Request::new(exchange, generation, client_id, attributes));
        self.current = Some(id);
        faults::check("submit");
        self.make_offer(io, id, &offer, now);
        faults::check("offered");
        self.check_invariants();
        Some(id)
    }

    /// Penstock's own time until the request was handed to its backend or queue.
    pub fn note_overhead(&mut self, id: RequestId, time: Nanos) {
        if let Some(request) = self.requests.get_mut(id) {
            request.overhead = time;
        }
    }

    fn plan(
        &mut self,
        endpoint: &'static dyn Endpoint,
        body: &[u8],
        now: Now,
    ) -> Result<Plan, ApiError> {
        if self.is_draining {
            return Err(ApiError::new(Code::Draining, "the gateway is shutting down")
                .retry_after_ms(RETRY_AFTER_MS));
        }
        let plan = Plan::make(&self.generation.table, endpoint, body)?;
        if self.admission.is_quarantined(|| plan.fingerprint(), now.mono) {
            let message = "model servers have died under this very request";
            return Err(ApiError::new(Code::UpstreamReset, message));
        }
        Ok(plan)
    }
}
