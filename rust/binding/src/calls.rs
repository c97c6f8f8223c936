//! The requests in hand: a slab with keys that go stale.

use std::rc::Rc;

use penstock_core::admission::Ticket;
use penstock_core::exchange::Exchange;
use penstock_core::time::Nanos;
use pyo3::prelude::*;

use crate::lane::LaneConnection;
use crate::outlet::Outlet;
use crate::standing::Standing;
use crate::upstream::UpstreamConnection;

/// Names a request; a key kept too long names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallKey {
    pub(crate) slot: u32,
    generation: u32,
}

/// The client's side, while it waits for its answer.
#[derive(Debug)]
pub(crate) struct ClientSide {
    pub(crate) outlet: Rc<Outlet>,
    pub(crate) done: Done,
}

/// Whom to tell that an answer is complete.
#[derive(Debug)]
pub(crate) enum Done {
    /// Called with whether the connection stays open.
    Callback(Py<PyAny>),
    Lane(Py<LaneConnection>),
}

impl Done {
    pub(crate) fn tell(self, py: Python<'_>, keep_alive: bool) -> PyResult<()> {
        match self {
            Done::Callback(callback) => callback.call1(py, (keep_alive,)).map(|_| ()),
            Done::Lane(connection) => LaneConnection::done(connection.bind(py), keep_alive),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: CallKey,
    pub(crate) exchange: Exchange,
    /// `None` once the client has its answer or has left.
    pub(crate) client: Option<ClientSide>,
    pub(crate) upstream: Option<Py<UpstreamConnection>>,
    /// The place in admission, queued or running.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) standing: Standing,
    /// Output tokens that its reservation covers.
    pub(crate) reserved: u64,
    /// Backends that have failed this request.
    pub(crate) failed: Vec<u16>,
    /// The longest wait that a full backend has asked for, in seconds.
    pub(crate) retry_after: u32,
    /// The earliest timer set for it.
    pub(crate) armed: Nanos,
    /// Penstock's own time so far.
    pub(crate) overhead: Nanos,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    slots: Vec<(u32, Option<Box<Call>>)>,
    free: Vec<u32>,
}

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, make: impl FnOnce(CallKey) -> Call) -> CallKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let entry = &mut self.slots[slot as usize];
        let key = CallKey { slot, generation: entry.0 };
        entry.1 = Some(Box::new(make(key)));
        key
    }

    pub(crate) fn get(&mut self, key: CallKey) -> Option<&mut Call> {
        let (generation, call) = self.slots.get_mut(key.slot as usize)?;
        if *generation == key.generation { call.as_deref_mut() } else { None }
    }

    /// Takes a call out for a moment, so that others can be looked at beside it.
    pub(crate) fn take(&mut self, key: CallKey) -> Option<Box<Call>> {
        self.get(key)?;
        self.slots[key.slot as usize].1.take()
    }

    pub(crate) fn put_back(&mut self, call: Box<Call>) {
        let slot = call.key.slot as usize;
        self.slots[slot].1 = Some(call);
    }

    /// The call in a slot, whichever it is.
    pub(crate) fn in_slot(&mut self, slot: u32) -> Option<&mut Call> {
        self.slots.get_mut(slot as usize)?.1.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, key: CallKey) {
        if self.get(key).is_some() {
            let entry = &mut self.slots[key.slot as usize];
            *entry = (entry.0.wrapping_add(1), None);
            self.free.push(key.slot);
        }
    }

    pub(crate) fn keys(&self) -> Vec<CallKey> {
        self.slots.iter().filter_map(|(_, call)| call.as_deref().map(|call| call.key)).collect()
    }
}
