//! The waiting requests of one tier: a doubly linked list through the rows, with its sums.

use super::row::{NONE, Row};

#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    pub(super) requests: u32,
    pub(super) tokens: u64,
    pub(super) bytes: u64,
}

impl Queue {
    pub(super) const EMPTY: Queue =
        Queue { head: NONE, tail: NONE, requests: 0, tokens: 0, bytes: 0 };

    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn push_back(&mut self, rows: &mut [Row], at: u32) {
        rows[at as usize].previous = self.tail;
        rows[at as usize].next = NONE;
        match self.tail {
            NONE => self.head = at,
            tail => rows[tail as usize].next = at,
        }
        self.tail = at;
        self.count(&rows[at as usize]);
    }

    /// For a bounced request: it keeps its place in the order of arrival.
    pub(super) fn push_front(&mut self, rows: &mut [Row], at: u32) {
        rows[at as usize].previous = NONE;
        rows[at as usize].next = self.head;
        match self.head {
            NONE => self.tail = at,
            head => rows[head as usize].previous = at,
        }
        self.head = at;
        self.count(&rows[at as usize]);
    }

    pub(super) fn remove(&mut self, rows: &mut [Row], at: u32) {
        let Row { previous, next, tokens, bytes, .. } = rows[at as usize];
        match previous {
            NONE => self.head = next,
            previous => rows[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => rows[next as usize].previous = previous,
        }
        self.requests -= 1;
        self.tokens -= tokens;
        self.bytes -= bytes;
    }

    fn count(&mut self, row: &Row) {
        self.requests += 1;
        self.tokens += row.tokens;
        self.bytes += row.bytes;
    }
}
