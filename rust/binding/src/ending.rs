//! How a request ends for its client: refused, or served; counted and logged once.

use penstock_admission::{Refusal, Refused, Usage};
use penstock_core::endpoint::Endpoint;
use penstock_core::exchange::{
    Client, Outcome, Output, Record, Served, Term, Where, Who, write_error,
};
use penstock_core::metrics::{Histogram, Total};
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::Addressee;
use penstock_core::rules::RuleCounts;
use penstock_core::time::{MILLISECOND, Nanos, Now, SECOND};
use penstock_core::tokens::TokenCounter;
use pyo3::prelude::*;

use crate::acts::Act;
use crate::calls::{CallKey, ClientSide};
use crate::engine::Engine;

/// Log lines waiting to be written; above, lines are dropped and counted.
const LOG_LIMIT: usize = 4 << 20;
/// After so long without relief, clients are told not to try again by themselves.
const LONG_SATURATION: Nanos = 30 * SECOND;

impl Engine {
    /// Refuses a request that never became a call.
    #[allow(clippy::too_many_arguments)] // there is no call yet that would hold them
    pub(super) fn reject(
        &mut self,
        py: Python<'_>,
        endpoint: &dyn Endpoint,
        error: &ApiError,
        client: &Client,
        side: ClientSide,
        addressee: Option<Addressee>,
        now: Now,
    ) {
        let keep_alive = client.keep_alive && error.code != Code::Draining;
        let client = Client { keep_alive, ..client.clone() };
        let mut out = Output::new(&mut self.memory);
        write_error(endpoint, error, &client, |_| (), now, &mut out);
        self.acts.extend(out.assemble(|pieces| side.outlet.send(py, pieces)));
        out.give_back(&mut self.memory);
        self.acts.push(Act::Done(side.done, keep_alive));
        self.rejected(error, client.request_id, addressee, 0);
    }

    /// Counts and logs an inference request that was refused before it became a call.
    pub(crate) fn rejected(
        &mut self,
        error: &ApiError,
        request_id: String,
        addressee: Option<Addressee>,
        total: Nanos,
    ) {
        let term = match error.code {
            Code::Draining | Code::ConnectionLimit => Term(Who::Policy, Where::Queue),
            Code::UpstreamReset => Term(Who::Policy, Where::FirstEvent),
            Code::InternalError => Term(Who::Gateway, Where::Request),
            _ => Term(Who::Client, Where::Request),
        };
        self.finished(&Record {
            status: error.status(),
            code: Some(error.code),
            term,
            outcome: Outcome::of_error(error.code),
            served: Served::to(addressee),
            ..unread(request_id, total)
        });
    }

    /// The client left before its request was read whole.
    pub(crate) fn left_early(&mut self, request_id: String, total: Nanos) {
        self.finished(&unread(request_id, total));
    }

    /// Admission says no.
    pub(super) fn refuse(
        &mut self,
        py: Python<'_>,
        key: CallKey,
        refused: Refused,
        on_arrival: bool,
        now: Now,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let plan = &call.exchange.plan;
        let (width, prompt) = (plan.widest, plan.endpoint.prompt_name());
        let code = code_of_refusal(refused.why);
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
        let mut error = ApiError::new(code, message);
        error.param = param.map(str::to_owned);
        if param.is_none() {
            error = error.retry_after_ms(refused.retry_after / MILLISECOND);
            error.should_retry = refused.saturated_for < LONG_SATURATION;
        }
        self.end_with(py, key, &error, term, now);
    }

    /// Ends a call with an error of ours: as a status, or as an event if the answer has begun.
    pub(super) fn end_with(
        &mut self,
        py: Python<'_>,
        key: CallKey,
        error: &ApiError,
        term: Term,
        now: Now,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let mut out = Output::new(&mut self.memory);
        call.exchange.refuse(&self.table, error, term, now, &mut out);
        self.finish_client(py, key, out);
        self.forget_if_over(key);
    }

    /// The client has its whole answer, of which `out` is the last piece: written, told, counted.
    pub(super) fn finish_client(&mut self, py: Python<'_>, key: CallKey, out: Output) {
        self.flush(py, key, out);
        let Some(call) = self.calls.get(key) else { return };
        if let Some(side) = call.client.take() {
            self.acts.push(Act::Done(side.done, call.exchange.keeps_client()));
        }
        self.close_record(key);
    }

    /// Counts and logs the call's record, once.
    pub(super) fn close_record(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(record) = call.exchange.take_record() else { return };
        if let Some(tokens) = record.prompt_tokens {
            let prompt = call.exchange.plan.prompt;
            let model = call.exchange.plan.model_index;
            let mut ratio = self.shared.ratios.get(model);
            ratio.learn(prompt, tokens);
            self.shared.ratios.set(model, ratio);
            let output = record.output_tokens.unwrap_or(0);
            if let Some(ticket) = call.ticket {
                let counted = |tokens: u64| tokens.min(u64::from(u32::MAX)) as u32;
                let cached = record.cached_tokens.unwrap_or(0);
                let [prompt, cached, output] = [tokens, cached, output].map(counted);
                self.admission.settle(ticket, Usage { prompt, cached, output });
            }
        }
        self.finished(&record);
    }

    fn finished(&mut self, record: &Record) {
        self.shard.finished(record);
        if self.log.len() > LOG_LIMIT {
            self.shard.add(Total::LogDropped, 1);
            return;
        }
        record.write_line(self.clock.now().unix, &self.table, &mut self.log);
    }
}

/// The error code of each refusal.
pub(crate) fn code_of_refusal(why: Refusal) -> Code {
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

/// The record of a request of which nothing is known but that its client is gone.
fn unread(request_id: String, total: Nanos) -> Record {
    Record {
        request_id,
        upstream_id: None,
        served: Served::default(),
        status: 499,
        code: None,
        term: Term(Who::Client, Where::Request),
        outcome: Outcome::ClientAbort,
        attempts: 0,
        queued: None,
        first: None,
        gaps: Histogram::fine(),
        rules: RuleCounts::default(),
        total,
        prompt_tokens: None,
        output_tokens: None,
        cached_tokens: None,
    }
}
