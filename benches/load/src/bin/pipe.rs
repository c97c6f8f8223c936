//! A proxy that copies bytes and does nothing else: the floor that no proxy can be below.

use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use penstock_load::options::Options;

const USAGE: &str = "pipe --port PORT --backend PORT";
const LISTENER: Token = Token(usize::MAX);

/// One side of a connection; the other has the neighbouring token.
struct Side {
    stream: TcpStream,
    /// What the other side has sent and this one has not taken yet.
    unsent: Vec<u8>,
}

fn main() -> io::Result<()> {
    let options = Options::read(USAGE);
    let backend = format!("127.0.0.1:{}", options.get("backend", 0u16));
    let backend = backend.parse().map_err(io::Error::other)?;
    let address = format!("127.0.0.1:{}", options.get("port", 0u16));
    let mut listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut sides: Vec<Option<Side>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            // It was stopped while others had their turn.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    for mut stream in [client, TcpStream::connect(backend)?] {
                        let _ = stream.set_nodelay(true);
                        let (token, both) =
                            (Token(sides.len()), Interest::READABLE | Interest::WRITABLE);
                        poll.registry().register(&mut stream, token, both)?;
                        sides.push(Some(Side { stream, unsent: Vec::new() }));
                    }
                }
                continue;
            }
            let Token(at) = event.token();
            if event.is_writable() && flush(&mut sides, at).is_err() {
                close(&mut sides, at);
            }
            let ends = event.is_read_closed();
            if event.is_readable() && copy(&mut sides, at, &mut buffer, ends).is_err() {
                close(&mut sides, at);
            }
        }
    }
}

fn close(sides: &mut [Option<Side>], at: usize) {
    sides[at] = None;
    sides[at ^ 1] = None;
}

fn flush(sides: &mut [Option<Side>], at: usize) -> io::Result<()> {
    let Some(side) = &mut sides[at] else { return Ok(()) };
    while !side.unsent.is_empty() {
        match side.stream.write(&side.unsent) {
            Ok(count) => drop(side.unsent.drain(..count)),
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads what is there. A read that does not fill the buffer has emptied the socket, but for its end
/// (`ends`).
fn copy(sides: &mut [Option<Side>], at: usize, buffer: &mut [u8], ends: bool) -> io::Result<()> {
    loop {
        let Some(side) = &mut sides[at] else { return Ok(()) };
        let count = match side.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(other) = &mut sides[at ^ 1] else { return Ok(()) };
        let sent = if other.unsent.is_empty() {
            match other.stream.write(&buffer[..count]) {
                Ok(sent) => sent,
                Err(error) if is_later(&error) => 0,
                Err(error) => return Err(error),
            }
        } else {
            0
        };
        other.unsent.extend_from_slice(&buffer[sent..count]);
        if count < buffer.len() && !ends {
            return Ok(());
        }
    }
}

/// Not now; a connection that is still being made says it in its own way.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
