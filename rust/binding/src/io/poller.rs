//! Reads all plain sockets of one worker, behind one descriptor that the loop watches.
//!
//! A loop that reads a socket makes a Python object of the bytes, takes a lock and calls through several layers, for
//! bytes that only Rust looks at. So every connection starts with its transport reading; once it is in use, the
//! poller reads its socket and the transport is paused.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use penstock_core::worker::Key;
use pyo3::prelude::*;
use rustix::event::epoll::{Event, EventFlags};

use super::poll_set::{Peer, PollSet, ReadEvent, Registration};

/// Most bytes of one read from a backend. With what a transport buffers before it pauses, less than 256 KiB of a
/// stream are unsent for a client that does not read (`penstock guide streams`). Chunks that grow by members that
/// the rules add can exceed that.
const BACKEND_READ: usize = 128 << 10;
/// Most bytes of one read from a client. Smaller, as one read may hold many requests.
const CLIENT_READ: usize = 64 << 10;
/// Sockets per round.
const ROUND: usize = 16;
/// Rounds before other callbacks of the loop run, and how long they may take.
const MAX_ROUNDS: usize = 16;
const ROUNDS_TIME: Duration = Duration::from_millis(2);
/// A read stops before the last byte if the peer has closed its side, the connection is broken, or there is urgent
/// data, at which each read stops.
const STOPS_READ: EventFlags =
    EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR).union(EventFlags::PRI);

/// Reads the sockets of one worker. It belongs to the thread of its event loop, which must call `poll`
/// whenever `fileno()` is readable.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Poller {
    poll_set: Rc<PollSet>,
    /// Empty while `poll` uses it.
    buffer: RefCell<Vec<u8>>,
}

impl Poller {
    pub(crate) fn poll_set(&self) -> Rc<PollSet> {
        self.poll_set.clone()
    }

    /// Reads one socket once.
    fn read(&self, py: Python<'_>, key: Key, flags: EventFlags, buffer: &mut [u8]) {
        let Some(Registration { socket, peer, handler }) = self.poll_set.find(key) else { return };
        let buffer = match peer {
            Peer::Client => &mut buffer[..CLIENT_READ],
            Peer::Backend => buffer,
        };
        let event = match socket.read(buffer) {
            Ok(0) => ReadEvent::Eof,
            Ok(length) => {
                // Edge-triggered: re-arm wherever bytes, or the end behind them, may be left.
                let may_be_left = length == buffer.len() || flags.intersects(STOPS_READ);
                if may_be_left || socket.stops_early() {
                    self.poll_set.rearm(socket, key);
                }
                ReadEvent::Data(&buffer[..length])
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return self.poll_set.rearm(socket, key);
            }
            Err(_) => ReadEvent::Error,
        };
        // A panic or an exception ends this connection and no other.
        let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(py, event)));
        if let Ok(Ok(())) = handled {
            return;
        }
        if let Ok(Err(error)) = handled {
            error.write_unraisable(py, None);
        }
        let end = match peer {
            // What was written to the client before the failure is still sent.
            Peer::Client => ReadEvent::Eof,
            Peer::Backend => ReadEvent::Error,
        };
        let _ = catch_unwind(AssertUnwindSafe(|| handler.handle(py, end)));
    }
}

#[pymethods]
impl Poller {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Poller { poll_set: Rc::new(PollSet::new()?), buffer: RefCell::default() })
    }

    fn fileno(&self) -> RawFd {
        self.poll_set.fileno()
    }

    /// Reads and handles what has arrived, from some sockets more than once.
    fn poll(&self, py: Python<'_>) {
        let mut buffer = self.buffer.take();
        buffer.resize(BACKEND_READ, 0);
        let mut events = [MaybeUninit::<Event>::uninit(); ROUND];
        let began = Instant::now();
        // More has often arrived meanwhile, and asking the kernel is far cheaper than another turn of the loop.
        for _ in 0..MAX_ROUNDS {
            let Some(events) = self.poll_set.ready(&mut events) else { break };
            for event in events {
                // The kernel packs its events: copy the fields, do not reference them.
                let (flags, key) = (event.flags, event.data.u64().into());
                self.read(py, key, flags, &mut buffer);
            }
            if began.elapsed() > ROUNDS_TIME {
                break;
            }
        }
        self.buffer.replace(buffer);
    }
}
