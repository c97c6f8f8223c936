//! Python's bytes, made of pieces that are each copied once.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Joins what `visit` shows. It is called twice, and must show the same both times: the length comes
/// first, and then the bytes go where they stay.
pub(crate) fn bytes_of(
    py: Python<'_>,
    visit: impl Fn(&mut dyn FnMut(&[u8])),
) -> PyResult<Py<PyBytes>> {
    let mut length = 0;
    visit(&mut |piece| length += piece.len());
    let fill = |bytes: &mut [u8]| {
        let mut at = 0;
        visit(&mut |piece| {
            bytes[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        });
        Ok(())
    };
    PyBytes::new_with(py, length, fill).map(Bound::unbind)
}
