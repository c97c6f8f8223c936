//! The event queue: ordered by time, and by insertion for equal times.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use penstock_core::time::Nanos;

#[derive(Debug)]
struct Entry<E> {
    at: Nanos,
    order: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// Reversed, because `BinaryHeap` returns the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[derive(Debug)]
pub struct Agenda<E> {
    entries: BinaryHeap<Entry<E>>,
    made: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda { entries: BinaryHeap::new(), made: 0 }
    }
}

impl<E> Agenda<E> {
    pub fn add(&mut self, at: Nanos, event: E) {
        self.made += 1;
        self.entries.push(Entry { at, order: self.made, event });
    }

    pub fn take_next(&mut self) -> Option<(Nanos, E)> {
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}
