//! The transport of a client's connection.

use std::rc::Rc;

use pyo3::prelude::*;

use crate::io::{ReadHalf, WriteHalf};
use crate::runner::AnswerListener;

/// Exists from `connection_made` until the connection is lost or handed over.
#[derive(Debug)]
pub(super) struct ClientTransport {
    pub(super) object: Py<PyAny>,
    pub(super) read_half: Rc<ReadHalf>,
    pub(super) write_half: Rc<WriteHalf>,
    /// The connection itself: made once and not for each answer.
    pub(super) listener: Rc<dyn AnswerListener>,
}
