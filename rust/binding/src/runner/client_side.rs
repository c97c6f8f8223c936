//! Where the answer of one request goes.

use std::fmt::Debug;
use std::rc::Rc;

use pyo3::prelude::*;

use crate::io::WriteHalf;

#[derive(Debug)]
pub(crate) struct ClientSide {
    pub(crate) write_half: Rc<WriteHalf>,
    pub(crate) listener: Rc<dyn AnswerListener>,
}

/// Is told that an answer is complete. `keep_alive`: the connection may stay open.
pub(crate) trait AnswerListener: Debug {
    fn answer_done(&self, py: Python<'_>, keep_alive: bool) -> PyResult<()>;
}
