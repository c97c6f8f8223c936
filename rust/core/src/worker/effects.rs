//! What a worker has done for it: the interface to whoever owns the sockets.

use super::state::{ClientId, ConnectionId};
use crate::routing::BackendIndex;

/// Runs what the worker decides, and answers two questions about its connections. Nothing here calls back into
/// the worker: what follows from an effect (a full socket, a broken one) arrives as a later event.
pub trait Effects {
    /// Sends these bytes to a client, in order, behind whatever was sent before.
    fn write_client(&mut self, client: ClientId, pieces: &[&[u8]]);

    /// The client has its whole answer; its id is not used again. `keep_alive`: its connection stays open.
    fn answer_done(&mut self, client: ClientId, keep_alive: bool);

    /// The client has left; its id is not used again.
    fn drop_client(&mut self, client: ClientId);

    /// Opens a connection. Its end is `connected` or `connect_failed`.
    fn connect(&mut self, connection: ConnectionId, backend: BackendIndex);

    /// Sends these bytes to a backend, in order.
    fn write_upstream(&mut self, connection: ConnectionId, pieces: &[&[u8]]);

    /// Stops reading a backend, because its client does not read.
    fn pause(&mut self, connection: ConnectionId);

    /// Reads a backend again. False: not from now on, but only after the worker has returned.
    fn resume(&mut self, connection: ConnectionId) -> bool;

    /// Sends the end of our side (`SHUT_WR`) and goes on reading; where the transport cannot (TLS), closes.
    fn half_close(&mut self, connection: ConnectionId);

    /// Closes a connection at once, or gives up opening it; its id is not used again.
    fn close(&mut self, connection: ConnectionId);

    /// Whether a connection is open and has not begun to close.
    fn is_open(&self, connection: ConnectionId) -> bool;

    /// Whether everything that was written to a backend has left.
    fn is_flushed(&self, connection: ConnectionId) -> bool;
}
