//! Where bytes come from: every plain socket is read by one poller, which is one descriptor to the loop.
//!
//! A loop that reads a socket makes an object of the bytes, takes a lock and calls through several
//! layers, for bytes that the core only looks at. So a connection begins with its transport, like any
//! other, and once it is in use its socket is watched here and its transport reads no more.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use penstock_core::worker::{Key, Slab};
use pyo3::prelude::*;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use crate::lane::LaneConnection;
use crate::socket::Socket;
use crate::upstream::UpstreamConnection;

/// Most bytes of one read of a backend. With what a transport holds before it pauses, a client that does
/// not read leaves less than 256 KiB of a stream unsent, unless its chunks lack what every
/// chunk has here and grow by it.
const ROOM: usize = 128 << 10;
/// The same of a client, which may make many requests of them.
const CLIENT_ROOM: usize = 64 << 10;
/// Sockets that are read in one turn.
const TURN: usize = 16;
/// Turns before others of the loop have theirs, and how long they may take.
const TURNS: usize = 16;
const TURNS_TIME: Duration = Duration::from_millis(2);
/// What is watched for: whatever comes, and told once, since a read leaves nothing behind but where
/// [`LEFT`] tells of it or the socket is a Unix socket.
const COMING: EventFlags =
    EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::PRI).union(EventFlags::ET);
/// A read may leave something: the peer has closed its side, the connection is broken, or there is
/// urgent data, at which each read stops.
const LEFT: EventFlags =
    EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR).union(EventFlags::PRI);

/// Whose bytes they are.
#[derive(Debug)]
pub(crate) enum Reader {
    Client(Py<LaneConnection>),
    Backend(Py<UpstreamConnection>),
}

/// What a watched socket has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Incoming<'a> {
    Bytes(&'a [u8]),
    /// The peer has closed its side.
    End,
    /// The connection is broken.
    Broken,
}

impl Reader {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Reader::Client(connection) => Reader::Client(connection.clone_ref(py)),
            Reader::Backend(connection) => Reader::Backend(connection.clone_ref(py)),
        }
    }

    fn take(&self, py: Python<'_>, incoming: Incoming<'_>) -> PyResult<()> {
        match self {
            Reader::Client(connection) => LaneConnection::incoming(connection.bind(py), incoming),
            Reader::Backend(connection) => {
                UpstreamConnection::incoming(connection.bind(py), incoming)
            }
        }
    }
}

#[derive(Debug)]
struct Watched {
    socket: Socket,
    reader: Reader,
}

/// The sockets that are watched.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: OwnedFd,
    watched: RefCell<Slab<Watched>>,
}

impl Watch {
    /// Watches a socket until [`Self::forget`]. `None`: the kernel will not.
    pub(crate) fn add(&self, socket: Socket, reader: Reader) -> Option<Key> {
        let entry = Watched { socket, reader };
        let key = self.watched.borrow_mut().insert(|_| entry);
        if epoll::add(&self.epoll, socket, data(key), COMING).is_ok() {
            return Some(key);
        }
        let refused = self.watched.borrow_mut().remove(key);
        drop(refused);
        None
    }

    /// Lets what comes wait in the kernel.
    pub(crate) fn pause(&self, key: Key) {
        if let Some(Watched { socket, reader }) = self.watched.borrow().get(key) {
            let _ = match reader {
                // It may leave meanwhile, and that must be seen.
                Reader::Client(_) => {
                    epoll::modify(&self.epoll, socket, data(key), EventFlags::RDHUP)
                }
                // Its end counts behind everything that it has sent.
                Reader::Backend(_) => epoll::delete(&self.epoll, socket),
            };
        }
    }

    pub(crate) fn resume(&self, key: Key) {
        if let Some(Watched { socket, reader }) = self.watched.borrow().get(key) {
            let _ = match reader {
                Reader::Client(_) => epoll::modify(&self.epoll, socket, data(key), COMING),
                Reader::Backend(_) => epoll::add(&self.epoll, socket, data(key), COMING),
            };
        }
    }

    /// What is left of a socket is an event of the next turn.
    fn again(&self, socket: Socket, key: Key) {
        let _ = epoll::modify(&self.epoll, socket, data(key), COMING);
    }

    pub(crate) fn forget(&self, key: Key) {
        // What is dropped may be the last of its connection, and look for itself here.
        let watched = self.watched.borrow_mut().remove(key);
        if let Some(Watched { socket, .. }) = &watched {
            let _ = epoll::delete(&self.epoll, socket);
        }
    }

    fn find(&self, py: Python<'_>, key: Key) -> Option<(Socket, Reader)> {
        let watched = self.watched.borrow();
        let Watched { socket, reader } = watched.get(key)?;
        Some((*socket, reader.clone_ref(py)))
    }
}

fn data(key: Key) -> EventData {
    EventData::new_u64(key.into())
}

/// Reads the sockets of one worker. It belongs to the thread of its event loop, which is to call `poll`
/// whenever `fileno()` is readable.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Poller {
    watch: Rc<Watch>,
    /// Not here while it is in use.
    room: RefCell<Vec<u8>>,
}

impl Poller {
    pub(crate) fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    /// Reads one socket, once.
    fn read(&self, py: Python<'_>, key: Key, flags: EventFlags, room: &mut [u8]) {
        let Some((socket, reader)) = self.watch.find(py, key) else { return };
        let room = match reader {
            Reader::Client(_) => &mut room[..CLIENT_ROOM],
            Reader::Backend(_) => room,
        };
        let incoming = match socket.read(room) {
            Ok(0) => Incoming::End,
            Ok(length) => {
                // Nothing tells again of what is left now: more bytes, or the end behind them.
                let is_left = length == room.len() || flags.intersects(LEFT);
                if is_left || socket.stops_early() {
                    self.watch.again(socket, key);
                }
                Incoming::Bytes(&room[..length])
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return self.watch.again(socket, key);
            }
            Err(_) => Incoming::Broken,
        };
        // Whatever goes wrong with one connection costs that connection.
        let taken = catch_unwind(AssertUnwindSafe(|| reader.take(py, incoming)));
        if let Ok(Ok(())) = taken {
            return;
        }
        if let Ok(Err(error)) = taken {
            error.write_unraisable(py, None);
        }
        // A client still gets what has been written to it: that was no part of what went wrong.
        let end = match reader {
            Reader::Client(_) => Incoming::End,
            Reader::Backend(_) => Incoming::Broken,
        };
        let _ = catch_unwind(AssertUnwindSafe(|| reader.take(py, end)));
    }
}

#[pymethods]
impl Poller {
    #[new]
    fn new() -> PyResult<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(std::io::Error::from)?;
        let watch = Rc::new(Watch { epoll, watched: RefCell::default() });
        Ok(Poller { watch, room: RefCell::default() })
    }

    fn fileno(&self) -> RawFd {
        self.watch.epoll.as_raw_fd()
    }

    /// Reads what has come, some sockets more than once, and has it dealt with.
    fn poll(&self, py: Python<'_>) {
        let mut room = self.room.take();
        room.resize(ROOM, 0);
        let mut events = [MaybeUninit::<Event>::uninit(); TURN];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let began = Instant::now();
        // More has often come meanwhile, and to ask is far cheaper than a turn of the loop.
        for _ in 0..TURNS {
            let waited = epoll::wait(&self.watch.epoll, &mut events, Some(&now));
            let Ok((events @ [_, ..], _)) = waited else { break };
            for event in events {
                // The kernel packs its events: copies of the fields, not references.
                let (flags, key) = (event.flags, event.data.u64().into());
                self.read(py, key, flags, &mut room);
            }
            if began.elapsed() > TURNS_TIME {
                break;
            }
        }
        self.room.replace(room);
    }
}
