//! How a connection leaves the lane: its transport goes to somebody else, or to nobody.

use penstock_core::time::in_seconds;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::LaneConnection;

impl LaneConnection {
    /// Gives the connection to aiohttp. What is still to be written stays ahead in the transport, and
    /// more of it than the transport's high-water mark is waited for.
    pub(super) fn hand_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        if !this.connection.borrow().may_hand_over() {
            return Ok(());
        }
        let Some(transport) = this.give_up(py)? else { return Ok(()) };
        let (bytes, since) = this.connection.borrow_mut().hand_over();
        let data = PyBytes::new(py, &bytes);
        let arguments = (slf, &transport, data, in_seconds(since));
        let told = this.host.call_method1(py, "handed_over", arguments);
        dropped_unless(told, py, &transport)
    }

    /// The transport, for whoever goes on with it. One that is closing stays: there is nothing to go on
    /// with, and its end is told here.
    fn give_up(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(object) = self.transport_object(py) else { return Ok(None) };
        if object.call_method0(py, "is_closing")?.is_truthy(py)? {
            return Ok(None);
        }
        let Some(transport) = self.transport.take() else { return Ok(None) };
        transport.write_half.close();
        transport.read_half.give_back(py)?;
        Ok(Some(transport.object))
    }

    /// Closes it so that a client that is still sending can read its answer.
    pub(super) fn close_gently(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        let Some(transport) = this.give_up(py)? else { return Ok(()) };
        let told = this.host.call_method1(py, "closing", (slf, &transport));
        dropped_unless(told, py, &transport)
    }
}

/// A transport that its next owner did not take belongs to nobody.
fn dropped_unless(
    taken: PyResult<Py<PyAny>>,
    py: Python<'_>,
    transport: &Py<PyAny>,
) -> PyResult<()> {
    if taken.is_err() {
        transport.call_method0(py, "abort")?;
    }
    taken.map(|_| ())
}
