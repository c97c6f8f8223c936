//! How a connection leaves the lane: its transport goes to aiohttp, or is closed.

use penstock_core::time::in_seconds;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::connection::LaneConnection;

impl LaneConnection {
    /// Hands the connection over to aiohttp. Unsent bytes stay in the transport's buffer, ahead of aiohttp's. While they
    /// are more than the transport's high-water mark, nothing is handed over.
    pub(super) fn hand_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        if !this.connection.borrow().may_hand_over() {
            return Ok(());
        }
        let Some(transport) = this.give_up_transport(py)? else { return Ok(()) };
        let (bytes, since) = this.connection.borrow_mut().hand_over();
        let data = PyBytes::new(py, &bytes);
        let arguments = (slf, &transport, data, in_seconds(since));
        let result = this.host.call_method1(py, "handed_over", arguments);
        abort_on_error(result, py, &transport)
    }

    /// Closes the connection so that a client that is still sending can read its answer.
    pub(super) fn close_gently(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        let Some(transport) = this.give_up_transport(py)? else { return Ok(()) };
        let result = this.host.call_method1(py, "closing", (slf, &transport));
        abort_on_error(result, py, &transport)
    }

    /// The transport, for its next owner. `None`: it is closing, and this connection waits for `connection_lost`.
    fn give_up_transport(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(object) = self.transport_object(py) else { return Ok(None) };
        if object.call_method0(py, "is_closing")?.is_truthy(py)? {
            return Ok(None);
        }
        let Some(transport) = self.transport.take() else { return Ok(None) };
        transport.write_half.close();
        transport.read_half.give_back(py)?;
        Ok(Some(transport.object))
    }
}

/// A transport whose next owner failed to take it has no owner, so nobody else would close it.
fn abort_on_error(
    result: PyResult<Py<PyAny>>,
    py: Python<'_>,
    transport: &Py<PyAny>,
) -> PyResult<()> {
    if result.is_err() {
        transport.call_method0(py, "abort")?;
    }
    result.map(|_| ())
}
