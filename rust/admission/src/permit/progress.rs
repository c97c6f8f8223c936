//! What happens to a request between its grant and its end.

use crate::api::ids::Ticket;
use crate::api::report::Usage;
use crate::limits::caps::Resources;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::Nanos;

impl Ledger<'_> {
    /// The first token has arrived: the prompt is processed.
    pub(crate) fn first_token(&mut self, ticket: Ticket, now: Nanos) {
        let now = self.at(now);
        let Some(at) = self.holder(ticket) else { return };
        let backend = usize::from(self.rows[at as usize].backend);
        self.backends[backend].last_response = now;
        let is_back = self.refute_by_answer(at).is_some();
        if self.rows[at as usize].resources.prefill == 0 {
            if is_back {
                self.dispatch();
            }
            return;
        }
        let prefill = self.end_prefill(at, true);
        let row = &self.rows[at as usize];
        let (taken, predicted) = (now - row.granted, row.predicted);
        let state = &mut self.backends[usize::from(row.backend)];
        if row.streams != 0 {
            state.first_tokens.learn(prefill, taken, &state.prefill_rate);
            if predicted > 0 {
                state.adaptive.first_token(taken, predicted);
            }
        }
        // The next prompt may have waited for this.
        self.dispatch();
    }

    /// The output is longer than expected: reserves more KV tokens. Never refused; it delays other
    /// requests.
    pub(crate) fn grow(&mut self, ticket: Ticket, tokens: u64) {
        if let Some(at) = self.holder(ticket) {
            self.rows[at as usize].resources.kv += tokens;
            self.caps.charge(&self.path_of(at), Resources::kv(tokens));
        }
    }

    /// The backend has reported what was used: the KV reservation and the cost are set to that.
    pub(crate) fn settle(&mut self, ticket: Ticket, usage: Usage) {
        let Some(at) = self.holder(ticket) else { return };
        let kv = u64::from(usage.prompt) + u64::from(usage.output);
        let row = &mut self.rows[at as usize];
        let class = usize::from(row.class);
        let before = std::mem::replace(&mut row.resources.kv, kv);
        let path = self.path_of(at);
        self.caps.charge(&path, Resources::kv(kv));
        self.caps.refund(&path, Resources::kv(before));
        self.rows[at as usize].settled = 1;
        self.lengths[class].learn(usage.output);
        let read = u64::from(usage.prompt.saturating_sub(usage.cached));
        self.correct_cost(at, read + 2 * u64::from(usage.output));
        if kv < before {
            self.dispatch();
        }
    }

    /// The client is served or gone, but the backend may still work on the request: it keeps its permit
    /// until [`Self::release`].
    pub(crate) fn closing(&mut self, ticket: Ticket) {
        if let Some(at) = self.find(ticket)
            && self.rows[at as usize].state() == State::Running
        {
            self.rows[at as usize].set_state(State::Closing);
        }
    }
}
