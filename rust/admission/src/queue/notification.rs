//! Notifications: for each worker, a list of its rows that were granted or refused while they waited.

use std::sync::atomic::Ordering;

use crate::api::decision::{Notification, Refused};
use crate::api::ids::Owner;
use crate::kill_points;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;

impl Ledger<'_> {
    /// Adds a row to the notifications of its owner.
    pub(crate) fn notify(&mut self, at: u32) {
        let Owner { worker, .. } = self.rows[at as usize].owner;
        self.rows[at as usize].next = NONE;
        let state = &mut self.workers[usize::from(worker)];
        match state.tail {
            NONE => state.head = at,
            last => self.rows[last as usize].next = at,
        }
        state.tail = at;
        kill_points::point();
        self.has_notifications[usize::from(worker)].store(1, Ordering::Release);
        self.globals.wake |= 1 << worker;
    }

    /// Removes the oldest row from a worker's notifications.
    pub(crate) fn next_notified(&mut self, worker: u16) -> Option<u32> {
        let state = &mut self.workers[usize::from(worker)];
        if state.head == NONE {
            self.has_notifications[usize::from(worker)].store(0, Ordering::Relaxed);
            return None;
        }
        let at = state.head;
        (state.head, state.unread_for) = (self.rows[at as usize].next, 0);
        if state.head == NONE {
            state.tail = NONE;
        }
        Some(at)
    }

    /// Removes a row from its owner's notifications, as it no longer concerns it.
    pub(crate) fn withdraw_notification(&mut self, at: u32) {
        let worker = usize::from(self.rows[at as usize].owner.worker);
        let next = self.rows[at as usize].next;
        let state = &mut self.workers[worker];
        let mut before = NONE;
        if state.head == at {
            state.head = next;
        } else {
            before = state.head;
            while self.rows[before as usize].next != at {
                before = self.rows[before as usize].next;
            }
            self.rows[before as usize].next = next;
        }
        let state = &mut self.workers[worker];
        if state.tail == at {
            state.tail = before;
        }
        state.unread_for = 0;
    }

    /// The next notification of a worker. A granted request counts as running from now on.
    pub(crate) fn take_notification(&mut self, worker: u16) -> Option<Notification> {
        let at = self.next_notified(worker)?;
        let row = &self.rows[at as usize];
        let ticket = row.ticket(at);
        if row.state() == State::Granted {
            row.set_state(State::Running);
            return Some(Notification::Granted(row.grant(at)));
        }
        let (why, retry_after, tier) = (row.refusal(), row.until, usize::from(row.tier));
        self.free_row(at);
        let saturated_for = self.saturated_for(tier, why);
        Some(Notification::Refused(ticket, Refused { why, retry_after, saturated_for }))
    }
}
