//! The sockets that one worker's poller reads, and who handles what they receive.

use std::cell::RefCell;
use std::fmt::Debug;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use penstock_core::worker::{Key, Slab};
use pyo3::prelude::*;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use super::socket::Socket;

/// Everything that makes a read worthwhile, edge-triggered: the kernel reports new bytes once, which saves a call
/// per read. [`PollSet::rearm`] asks for another report where a read may have left bytes.
const READABLE: EventFlags =
    EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::PRI).union(EventFlags::ET);

/// Which side of the gateway a socket is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Client,
    Backend,
}

/// What a read returned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReadEvent<'a> {
    Data(&'a [u8]),
    /// The peer has closed its side.
    Eof,
    /// The connection is broken.
    Error,
}

/// Handles what a socket receives.
pub(crate) trait ReadHandler: Debug {
    fn handle(&self, py: Python<'_>, event: ReadEvent<'_>) -> PyResult<()>;
}

#[derive(Debug, Clone)]
pub(super) struct Registration {
    pub(super) socket: Socket,
    pub(super) peer: Peer,
    pub(super) handler: Rc<dyn ReadHandler>,
}

/// An epoll instance and its registrations.
#[derive(Debug)]
pub(crate) struct PollSet {
    epoll: OwnedFd,
    registrations: RefCell<Slab<Registration>>,
}

impl PollSet {
    pub(super) fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(PollSet { epoll, registrations: RefCell::default() })
    }

    /// The descriptor that is readable while any socket is.
    pub(super) fn fileno(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Returns the sockets that are readable now, without waiting.
    pub(super) fn ready<'a>(
        &self,
        events: &'a mut [std::mem::MaybeUninit<Event>],
    ) -> Option<&'a mut [Event]> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, events, Some(&now)) {
            Ok((events @ [_, ..], _)) => Some(events),
            _ => None,
        }
    }

    /// Reads a socket from now on, until [`Self::deregister`]. `None`: the kernel refuses.
    pub(super) fn register(
        &self,
        socket: Socket,
        peer: Peer,
        handler: Rc<dyn ReadHandler>,
    ) -> Option<Key> {
        let registration = Registration { socket, peer, handler };
        let key = self.registrations.borrow_mut().insert(|_| registration);
        if epoll::add(&self.epoll, socket, data(key), READABLE).is_ok() {
            return Some(key);
        }
        let refused = self.registrations.borrow_mut().remove(key);
        drop(refused);
        None
    }

    /// Stops reading a socket, so that its bytes wait in the kernel.
    pub(super) fn pause(&self, key: Key) {
        if let Some(Registration { socket, peer, .. }) = self.registrations.borrow().get(key) {
            let _ = match peer {
                // A client that leaves meanwhile must be noticed.
                Peer::Client => epoll::modify(&self.epoll, socket, data(key), EventFlags::RDHUP),
                // A backend's end counts only after all bytes that it has sent.
                Peer::Backend => epoll::delete(&self.epoll, socket),
            };
        }
    }

    pub(super) fn resume(&self, key: Key) {
        if let Some(Registration { socket, peer, .. }) = self.registrations.borrow().get(key) {
            let _ = match peer {
                Peer::Client => epoll::modify(&self.epoll, socket, data(key), READABLE),
                Peer::Backend => epoll::add(&self.epoll, socket, data(key), READABLE),
            };
        }
    }

    /// Has the kernel report the socket again if bytes are left.
    pub(super) fn rearm(&self, socket: Socket, key: Key) {
        let _ = epoll::modify(&self.epoll, socket, data(key), READABLE);
    }

    pub(super) fn deregister(&self, key: Key) {
        // The borrow must end first: dropping the handler may drop its connection, which deregisters too.
        let removed = self.registrations.borrow_mut().remove(key);
        if let Some(Registration { socket, .. }) = &removed {
            let _ = epoll::delete(&self.epoll, socket);
        }
    }

    pub(super) fn find(&self, key: Key) -> Option<Registration> {
        self.registrations.borrow().get(key).cloned()
    }
}

fn data(key: Key) -> EventData {
    EventData::new_u64(key.into())
}
