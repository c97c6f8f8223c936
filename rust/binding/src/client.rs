//! A client's side of a request, while it waits for its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pyo3::prelude::*;

use crate::lane::LaneConnection;
use crate::write_half::WriteHalf;

#[derive(Debug)]
pub(crate) struct ClientSide {
    pub(crate) half: Rc<WriteHalf>,
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
