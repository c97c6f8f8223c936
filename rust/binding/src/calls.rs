//! The requests in hand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use penstock_admission::Ticket;
use penstock_core::exchange::Exchange;
use penstock_core::time::Nanos;
use pyo3::prelude::*;

use crate::lane::LaneConnection;
use crate::outlet::Outlet;
use crate::slots::{Key, Slots};
use crate::standing::Standing;
use crate::upstream::UpstreamConnection;

/// Names a request.
pub(crate) type CallKey = Key;
/// Every request in hand. They are boxed since they move.
pub(crate) type Calls = Slots<Box<Call>>;

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
            Done::Lane(connection) => {
                let told = || LaneConnection::done(connection.bind(py), keep_alive);
                // What panics over its next request costs that request and its connection. The answer
                // that has just been written still leaves.
                let told = catch_unwind(AssertUnwindSafe(told));
                told.unwrap_or_else(|_| connection.borrow(py).force_close(py))
            }
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
    /// A reused connection was found dead, so the next one is to be new.
    pub(crate) wants_fresh: bool,
    /// It tries whether its backend can be reached again.
    pub(crate) is_trial: bool,
    /// How often it did so in vain and waited again.
    pub(crate) trials: u8,
    /// Penstock's own time so far.
    pub(crate) overhead: Nanos,
}
