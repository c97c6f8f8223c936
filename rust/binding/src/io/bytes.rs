//! Python bytes made of several pieces, each copied once.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Joins `pieces`, without their first `skipped` bytes.
pub(crate) fn join_bytes(
    py: Python<'_>,
    pieces: &[&[u8]],
    skipped: usize,
) -> PyResult<Py<PyBytes>> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let fill = |bytes: &mut [u8]| {
        let (mut at, mut skipped) = (0, skipped);
        for piece in pieces {
            let rest = &piece[skipped.min(piece.len())..];
            skipped -= piece.len() - rest.len();
            bytes[at..at + rest.len()].copy_from_slice(rest);
            at += rest.len();
        }
        Ok(())
    };
    PyBytes::new_with(py, length - skipped, fill).map(Bound::unbind)
}
