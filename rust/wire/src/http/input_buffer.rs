//! Bytes of a connection that no request has consumed yet.

/// Consumed bytes stay at the front until they outnumber the others. So consuming a request costs the same however
/// much is buffered behind it.
#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    bytes: Vec<u8>,
    consumed: usize,
}

impl InputBuffer {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.consumed > self.len() {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    pub(super) fn reserve_exact(&mut self, additional: usize) {
        self.bytes.reserve_exact(additional);
    }

    /// Removes the next `length` bytes. If they are all, the memory goes with them.
    pub(super) fn take(&mut self, length: usize) -> Vec<u8> {
        if length < self.len() {
            let taken = self.unread()[..length].to_vec();
            self.consumed += length;
            return taken;
        }
        let InputBuffer { mut bytes, consumed } = std::mem::take(self);
        bytes.drain(..consumed);
        bytes
    }

    /// Puts bytes in front of the unread ones.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(self.unread());
        *self = InputBuffer { bytes, consumed: 0 };
    }
}
