//! The transport of a client's connection, and the ways past it.

use std::rc::Rc;

use pyo3::prelude::*;

use crate::read_half::ReadHalf;
use crate::write_half::WriteHalf;

#[derive(Debug)]
pub(super) struct Transport {
    pub(super) object: Py<PyAny>,
    pub(super) read_half: Rc<ReadHalf>,
    pub(super) write_half: Rc<WriteHalf>,
}
