//! What a client gets: the pieces of its answer, its end, and the record of it, each once.

use penstock_admission::Usage;

use super::effects::Effects;
use super::machine::Worker;
use super::state::{Request, RequestId};
use crate::access_log;
use crate::exchange::{Output, Record, Term};
use crate::metrics::Total;
use crate::openai::ApiError;
use crate::time::Now;
use crate::tokens::TokenCounter;
use crate::trace::step;

/// Log lines waiting to be written, in bytes; above, lines are dropped and counted.
const LOG_LIMIT: usize = 4 << 20;

impl Worker {
    /// The request goes on: what there is of its answer leaves, and its timer is set.
    pub(super) fn go_on(&mut self, io: &mut impl Effects, id: RequestId, out: Output) {
        if let Some(request) = self.requests.get(id) {
            write_client(io, request, &out);
            if let Some(deadline) = request.deadline() {
                self.wheel.set(deadline, id.place());
            }
        }
        out.give_back(&mut self.output);
    }

    /// Sends a request's output to its client in one piece.
    pub(super) fn flush(&mut self, io: &mut impl Effects, id: RequestId, out: Output) {
        if let Some(request) = self.requests.get(id) {
            write_client(io, request, &out);
        }
        out.give_back(&mut self.output);
    }

    /// Ends a request with an error of ours: as a status, or as an event if the answer has begun.
    pub(super) fn end_with(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        error: &ApiError,
        term: Term,
        now: Now,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let mut out = Output::new(&mut self.output);
        let table = &request.generation.table;
        step!(id, request, request.exchange.refuse(table, error, term, now, &mut out));
        self.finish_client(io, id, out, now);
        self.forget_if_over(id);
    }

    /// The client has its whole answer, of which `out` is the last piece.
    pub(super) fn finish_client(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        out: Output,
        now: Now,
    ) {
        self.flush(io, id, out);
        let Some(request) = self.requests.get_mut(id) else { return };
        if let Some(client) = request.client.take() {
            io.answer_done(client, request.exchange.keeps_client());
        }
        self.close_record(id, now);
    }

    /// Counts and logs the request's record, once.
    pub(super) fn close_record(&mut self, id: RequestId, now: Now) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let Some(record) = request.exchange.take_record() else { return };
        if let Some(tokens) = record.prompt_tokens {
            let prompt = request.exchange.plan.prompt;
            let model = request.exchange.plan.model_index;
            let mut ratio = self.shared.ratios.get(model);
            ratio.learn(prompt, tokens);
            self.shared.ratios.set(model, ratio);
            let output = record.output_tokens.unwrap_or(0);
            if let Some(ticket) = request.ticket {
                let counted = |tokens: u64| tokens.min(u64::from(u32::MAX)) as u32;
                let cached = record.cached_tokens.unwrap_or(0);
                let [prompt, cached, output] = [tokens, cached, output].map(counted);
                self.admission.settle(ticket, Usage { prompt, cached, output });
            }
        }
        self.finished(&record, now);
    }

    pub(super) fn finished(&mut self, record: &Record, now: Now) {
        self.shard.finished(record);
        if self.log.len() > LOG_LIMIT {
            self.shard.add(Total::LogDropped, 1);
            return;
        }
        access_log::write_line(record, now.unix, &self.generation.table, &mut self.log);
    }
}

/// Writes to the client what an output holds, in one piece.
fn write_client(io: &mut impl Effects, request: &Request, out: &Output) {
    if !out.is_empty()
        && let Some(client) = request.client
    {
        out.assemble(|pieces| io.write_client(client, pieces));
    }
}
