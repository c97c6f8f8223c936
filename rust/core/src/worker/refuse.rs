//! Requests that get an error instead of an attempt: refused on arrival, by the queue, or by the gateway.

use penstock_admission::{Refusal, Refused};

use super::effects::Effects;
use super::machine::Worker;
use super::state::{ClientId, RequestId};
use crate::endpoint::Endpoint;
use crate::exchange::{Client, Outcome, Output, Record, Served, Term, Where, Who, write_error};
use crate::openai::{ApiError, Code};
use crate::routing::Route;
use crate::time::{MILLISECOND, Nanos, Now, SECOND};

/// When a tier has turned requests away for so long, clients are told not to retry by themselves.
const LONG_SATURATION: Nanos = 30 * SECOND;

impl Worker {
    /// Refuses a request that was not planned.
    #[allow(clippy::too_many_arguments)] // there is no request yet that would hold them
    pub fn reject(
        &mut self,
        io: &mut impl Effects,
        endpoint: &dyn Endpoint,
        error: &ApiError,
        client: &Client,
        client_id: ClientId,
        route: Option<Route>,
        now: Now,
    ) {
        let keep_alive = client.keep_alive && error.code != Code::Draining;
        let client = Client { keep_alive, ..client.clone() };
        let mut out = Output::new(&mut self.output);
        write_error(endpoint, error, &client, |_| (), now, &mut out);
        out.assemble(|pieces| io.write_client(client_id, pieces));
        out.give_back(&mut self.output);
        io.answer_done(client_id, keep_alive);
        self.count_rejected(error, client.request_id, route, 0, now);
    }

    /// Counts and logs an inference request that was refused before it was planned. `total`: since its arrival.
    pub fn count_rejected(
        &mut self,
        error: &ApiError,
        request_id: String,
        route: Option<Route>,
        total: Nanos,
        now: Now,
    ) {
        let term = match error.code {
            Code::Draining | Code::ConnectionLimit => Term(Who::Policy, Where::Queue),
            Code::UpstreamReset => Term(Who::Policy, Where::FirstEvent),
            Code::InternalError => Term(Who::Gateway, Where::Request),
            _ => Term(Who::Client, Where::Request),
        };
        let record = Record {
            status: error.status(),
            code: Some(error.code),
            term,
            outcome: Outcome::of_error(error.code),
            served: Served::by_route(route),
            ..Record::unread(request_id, total)
        };
        self.finished(&record, now);
    }

    /// Counts and logs a request whose client left before it was read whole.
    pub fn count_left_early(&mut self, request_id: String, total: Nanos, now: Now) {
        self.finished(&Record::unread(request_id, total), now);
    }

    /// Admission says no.
    pub(super) fn refuse(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        refused: Refused,
        on_arrival: bool,
        now: Now,
    ) {
        let Some(request) = self.requests.get(id) else { return };
        let plan = &request.exchange.plan;
        let (width, prompt) = (plan.widest, plan.endpoint.prompt_name());
        let (message, param) = match refused.why {
            Refusal::QueueFull => ("the queue is full".to_owned(), None),
            Refusal::Unmeetable => ("the queue is too long to be served in time".to_owned(), None),
            Refusal::Expired => ("no slot became free in time".to_owned(), None),
            Refusal::NoBackend => ("no model server is available for this model".to_owned(), None),
            Refusal::Overloaded => ("the model server is overloaded".to_owned(), None),
            Refusal::TooWide { most } => (format!("'{width}' is at most {most} here"), Some(width)),
            Refusal::TooLong { most } => {
                let message = format!("the prompt is longer than the {most} tokens that fit here");
                (message, Some(prompt))
            }
        };
        let term = match refused.why {
            Refusal::TooWide { .. } | Refusal::TooLong { .. } => Term(Who::Client, Where::Request),
            Refusal::Expired => Term(Who::Gateway, Where::Queue),
            Refusal::Overloaded => Term(Who::Backend, Where::FirstEvent),
            _ if on_arrival => Term(Who::Policy, Where::Queue),
            _ => Term(Who::Gateway, Where::Queue),
        };
        let mut error = ApiError::new(code_of(refused.why), message);
        error.param = param.map(str::to_owned);
        if param.is_none() {
            error = error.retry_after_ms(refused.retry_after / MILLISECOND);
            error.should_retry = refused.saturated_for < LONG_SATURATION;
        }
        self.end_with(io, id, &error, term, now);
    }
}

/// The error code of each refusal.
pub fn code_of(why: Refusal) -> Code {
    match why {
        Refusal::QueueFull => Code::QueueFull,
        Refusal::Unmeetable => Code::DeadlineUnmeetable,
        Refusal::Expired => Code::QueueTimeout,
        Refusal::NoBackend => Code::NoBackend,
        Refusal::TooWide { .. } => Code::InvalidValue,
        Refusal::TooLong { .. } => Code::ContextLengthExceeded,
        Refusal::Overloaded => Code::UpstreamOverloaded,
    }
}
