//! The methods of an asyncio transport, looked up once per connection.

use std::rc::Rc;

use pyo3::prelude::*;

use crate::outlet::Outlet;

/// What Penstock calls on a backend's transport.
#[derive(Debug)]
pub(crate) struct Transport {
    is_closing: Py<PyAny>,
    pub(crate) outlet: Rc<Outlet>,
    pub(crate) abort: Py<PyAny>,
    pub(crate) pause_reading: Py<PyAny>,
    pub(crate) resume_reading: Py<PyAny>,
    /// `write_eof` where the transport can half-close (TLS cannot), else `close`.
    pub(crate) half_close: Py<PyAny>,
}

impl Transport {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let can_half_close: bool = object.call_method0("can_write_eof")?.extract()?;
        let half_close = if can_half_close { "write_eof" } else { "close" };
        let method = |name: &str| object.getattr(name).map(Bound::unbind);
        Ok(Transport {
            outlet: Outlet::of(object)?,
            abort: method("abort")?,
            pause_reading: method("pause_reading")?,
            resume_reading: method("resume_reading")?,
            half_close: method(half_close)?,
            is_closing: method("is_closing")?,
        })
    }

    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing.call0(py).and_then(|answer| answer.is_truthy(py)).unwrap_or(true)
    }
}
