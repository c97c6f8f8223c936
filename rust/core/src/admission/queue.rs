//! The waiting requests of one tier: a doubly linked list through the rows, with its sums.

use super::row::{NONE, Row};
use crate::time::Nanos;

#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    pub(super) requests: u32,
    pub(super) tokens: u64,
    pub(super) bytes: u64,
    /// No request in it expires before. Deadlines need not be in order: a retry brings its own.
    pub(super) earliest: Nanos,
}

impl Queue {
    pub(super) const EMPTY: Queue =
        Queue { head: NONE, tail: NONE, requests: 0, tokens: 0, bytes: 0, earliest: Nanos::MAX };

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

    /// For a bounced request: it keeps its place in the order of arrival. Only others that bounced
    /// can stand before it, so the walk is short.
    pub(super) fn put_back(&mut self, rows: &mut [Row], at: u32) {
        let sequence = rows[at as usize].sequence;
        let (mut previous, mut next) = (NONE, self.head);
        while next != NONE && rows[next as usize].sequence < sequence {
            previous = next;
            next = rows[next as usize].next;
        }
        rows[at as usize].previous = previous;
        rows[at as usize].next = next;
        match previous {
            NONE => self.head = at,
            previous => rows[previous as usize].next = at,
        }
        match next {
            NONE => self.tail = at,
            next => rows[next as usize].previous = at,
        }
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
        self.earliest = self.earliest.min(row.deadline);
    }
}
