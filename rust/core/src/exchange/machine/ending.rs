//! How a request ends without its whole answer, and the record of every end.

use super::state::{AnswerMode, ExchangeState};
use super::{Ended, Exchange, Next, UpstreamEnd};
use crate::exchange::failure::Failure;
use crate::exchange::outcome::Outcome;
use crate::exchange::output::{Output, write_error};
use crate::exchange::record::Record;
use crate::exchange::termination::{Term, Where, Who};
use crate::openai::ApiError;
use crate::routing::Table;
use crate::rules::Rule;
use crate::time::Now;

impl Exchange {
    pub(super) fn fail(
        &mut self,
        failure: Failure,
        upstream: UpstreamEnd,
        now: Now,
        out: &mut Output,
    ) -> Next {
        self.state = ExchangeState::Over;
        if matches!(failure, Failure::Truncated { .. }) {
            self.rules.hit(Rule::P13);
        }
        if !self.begun {
            out.clear();
            return Next::Failed { failure, upstream };
        }
        // The head was sent, so the failure becomes an error event, without a terminal event (P13).
        let error = failure.error();
        self.write_error_event(&error, out);
        let outcome = Outcome::of_error(error.code);
        if let AnswerMode::Stream(rules) = &self.mode {
            self.usage = rules.usage();
        }
        self.close_record(200, Some(&failure), failure.term(true), outcome, now);
        Next::Ended(Ended { upstream, result: failure.attempt_result() })
    }

    /// No further attempt: the client gets the failure as an error response.
    pub fn give_up(&mut self, table: &Table, failure: &Failure, now: Now, out: &mut Output) {
        let error = failure.error();
        write_error(
            self.plan.endpoint,
            &error,
            &self.client,
            |lines| self.write_names(table, lines),
            now,
            out,
        );
        let outcome = Outcome::of_error(error.code);
        self.state = ExchangeState::Over;
        let term = failure.term(self.first.is_some());
        self.close_record(error.status(), Some(failure), term, outcome, now);
    }

    /// The request was refused without an attempt, or a drain ends it. Writes `error` as a response, or as
    /// an event if the head was already sent.
    pub fn refuse(
        &mut self,
        table: &Table,
        error: &ApiError,
        term: Term,
        now: Now,
        out: &mut Output,
    ) {
        if self.recorded {
            return;
        }
        let outcome = Outcome::of_error(error.code);
        let status = if self.begun {
            self.write_error_event(error, out);
            200
        } else {
            write_error(
                self.plan.endpoint,
                error,
                &self.client,
                |lines| self.write_names(table, lines),
                now,
                out,
            );
            error.status()
        };
        self.state = ExchangeState::Over;
        self.close_record(status, None, term, outcome, now);
        if let Some(record) = &mut self.record {
            record.code = Some(error.code);
        }
    }

    /// The client has closed its connection.
    pub fn client_gone(&mut self, now: Now) {
        let phase = match &self.state {
            _ if self.first.is_some() => Where::Stream,
            ExchangeState::Waiting if self.is_queued() => Where::Queue,
            ExchangeState::Waiting => Where::Connect,
            _ => Where::FirstEvent,
        };
        self.state = ExchangeState::Over;
        let status = if self.begun { 200 } else { 499 };
        self.close_record(status, None, Term(Who::Client, phase), Outcome::ClientAbort, now);
    }

    pub(super) fn close_record(
        &mut self,
        status: u16,
        failure: Option<&Failure>,
        term: Term,
        outcome: Outcome,
        now: Now,
    ) {
        // One record per request: events after the answer do not change it.
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        if let AnswerMode::Stream(rules) = &self.mode {
            self.rules.add(rules.counts());
        }
        self.record = Some(Record {
            // Not needed any more: the head was sent, or the client is gone.
            request_id: std::mem::take(&mut self.client.request_id),
            upstream_id: self.upstream_id.take(),
            served: self.served,
            status,
            code: failure.map(|failure| failure.error().code),
            term,
            outcome,
            attempts: self.attempts,
            queued: self.queued,
            first: self.first,
            gaps: self.gaps.clone(),
            rules: self.rules,
            total: now.mono - self.arrived,
            prompt_tokens: self.usage.map(|usage| usage.prompt_tokens),
            output_tokens: self.usage.map(|usage| usage.completion_tokens),
            cached_tokens: self.usage.map(|usage| usage.cached_tokens),
        });
    }
}
