//! A model server that only answers: whole or streamed, paced or as fast as it is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use penstock_load::options::Options;
use penstock_load::{since, until};

const USAGE: &str = "\
stub [--port 0] [--events 50] [--rate 0] [--batch 1] [--delay-ms 0] [--lie none]
  --rate   events a second of each stream; 0: as fast as they are read
  --batch  events in one write when there is no rate
  --lie    none, truncated, no_done, status, garbage: what to do wrong";
const LISTENER: Token = Token(usize::MAX);

/// What is sent, made once.
struct Script {
    whole: Vec<u8>,
    models: Vec<u8>,
    /// Head and first chunk of a stream.
    begin: Vec<u8>,
    event: Vec<u8>,
    end: Vec<u8>,
    events: u64,
    batch: u64,
    /// Nanoseconds between events; 0: none.
    pace: u64,
    delay: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Idle,
    /// A whole answer or a stream is due later.
    Waiting {
        stream: bool,
    },
    /// So many events are still to come.
    Streaming(u64),
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    task: Task,
}

fn message(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

fn chunk(choice: &str) -> Vec<u8> {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"served-model\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n"
    );
    framed(&event)
}

fn framed(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into()
}

impl Script {
    fn new(options: &Options) -> Self {
        let content = "water ".repeat(40);
        let whole = format!(
            "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"served-model\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}},\
             \"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":180,\
             \"completion_tokens\":60,\"total_tokens\":240}}}}"
        );
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let role =
            chunk("\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null");
        let finish = chunk("\"delta\":{},\"finish_reason\":\"stop\"");
        let (done, last) = (framed("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec());
        let mut script = Script {
            whole: message("application/json", &whole),
            models: message(
                "application/json",
                "{\"object\":\"list\",\"data\":[{\"id\":\"served-model\",\"object\":\"model\"}]}",
            ),
            begin: [head.as_slice(), &role].concat(),
            event: chunk(
                "\"delta\":{\"content\":\" river\"},\"logprobs\":null,\"finish_reason\":null",
            ),
            end: [finish.as_slice(), &done, &last].concat(),
            events: options.get("events", 50),
            batch: options.get("batch", 1),
            pace: (1e9 / options.get("rate", 0.0)) as u64,
            delay: options.get("delay-ms", 0) * 1_000_000,
        };
        if options.get("rate", 0.0) == 0.0 {
            script.pace = 0;
        }
        match options.get("lie", "none".to_owned()).as_str() {
            "none" => {}
            // The connection closes behind it; see `is_cut`.
            "truncated" => {
                script.end.clear();
                script.whole.truncate(200);
            }
            "no_done" => {
                script.end = [finish, last].concat();
            }
            "status" => {
                script.whole = b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}".to_vec();
                script.begin.clone_from(&script.whole);
                (script.events, script.end) = (0, Vec::new());
            }
            "garbage" => {
                script.whole = message("application/json", "[1, 2]");
                script.begin = b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec();
            }
            other => {
                eprintln!("--lie: what is {other:?}?");
                std::process::exit(2);
            }
        }
        script
    }
}

struct Stub {
    script: Script,
    /// The answers are cut off, so the connection closes behind them.
    is_cut: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// What is due, the earliest first.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    /// Streams without a pace that can go on at once.
    eager: Vec<usize>,
    start: Instant,
}

fn main() -> io::Result<()> {
    let options = Options::read(USAGE);
    let mut stub = Stub {
        is_cut: options.get("lie", String::new()) == "truncated",
        script: Script::new(&options),
        connections: Vec::new(),
        free: Vec::new(),
        timers: BinaryHeap::new(),
        eager: Vec::new(),
        start: Instant::now(),
    };
    let address = format!("127.0.0.1:{}", options.get("port", 0u16));
    let mut listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    println!("{}", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(4096);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let now = since(stub.start);
        let wait = match stub.timers.peek() {
            _ if !stub.eager.is_empty() => Some(Duration::ZERO),
            Some(Reverse((due, _))) => Some(until(*due, now)),
            None => None,
        };
        poll.poll(&mut events, wait)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stub.accept(stream, poll.registry())?;
                }
                continue;
            }
            let Token(at) = event.token();
            if event.is_writable() {
                stub.write(at);
            }
            if event.is_readable() {
                stub.read(at, &mut buffer, event.is_read_closed());
            }
        }
        for at in std::mem::take(&mut stub.eager) {
            stub.go_on(at);
        }
        let now = since(stub.start);
        while stub.timers.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            if let Some(Reverse((due, at))) = stub.timers.pop() {
                stub.due(at, due);
            }
        }
    }
}

/// When in each period a stream has its event: spread evenly over the connections. Were it a period after
/// the request came, a gateway that passes many on at once would get its events in bursts, which cost
/// less each.
fn phase(at: usize, pace: u64) -> u64 {
    /// 2^32 divided by the golden ratio: multiples of it fill a circle evenly.
    const GOLDEN: u64 = 0x9E37_79B9;
    (((at as u64 * GOLDEN) & 0xFFFF_FFFF) * pace) >> 32
}

impl Stub {
    fn accept(&mut self, mut stream: TcpStream, registry: &mio::Registry) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let at = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        registry.register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        let (input, output) = (Vec::with_capacity(2048), Vec::new());
        self.connections[at] =
            Some(Connection { stream, input, output, sent: 0, task: Task::Idle });
        Ok(())
    }

    fn close(&mut self, at: usize) {
        // A timer or a turn of it may still be set: the place is used again only when none can be.
        if self.connections[at].take().is_some_and(|connection| connection.task == Task::Idle) {
            self.free.push(at);
        }
    }

    /// `ends`: the other side has closed, so there is more to be seen than a short read shows.
    fn read(&mut self, at: usize, buffer: &mut [u8], ends: bool) {
        loop {
            let Some(connection) = &mut self.connections[at] else { return };
            match connection.stream.read(buffer) {
                Ok(0) => return self.close(at),
                Ok(count) => {
                    connection.input.extend_from_slice(&buffer[..count]);
                    if count < buffer.len() && !ends {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.close(at),
            }
        }
        self.serve(at);
    }

    /// Begins to answer the request that has come, if one has, whole.
    fn serve(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        if connection.task != Task::Idle || !connection.output.is_empty() {
            return;
        }
        let Some((size, path)) = request_of(&connection.input) else { return };
        let stream = match path {
            Path::Models => {
                connection.output.extend_from_slice(&self.script.models);
                connection.input.drain(..size);
                return self.write(at);
            }
            Path::Chat { stream } => stream,
        };
        connection.input.drain(..size);
        if self.script.delay > 0 {
            connection.task = Task::Waiting { stream };
            self.timers.push(Reverse((since(self.start) + self.script.delay, at)));
        } else {
            self.answer(at, stream);
        }
    }

    fn answer(&mut self, at: usize, stream: bool) {
        let Some(connection) = &mut self.connections[at] else { return };
        if stream {
            connection.output.extend_from_slice(&self.script.begin);
            connection.task = Task::Streaming(self.script.events);
            if self.script.pace > 0 {
                let pace = self.script.pace;
                let step = since(self.start) / pace + 1;
                self.timers.push(Reverse((step * pace + phase(at, pace), at)));
            } else {
                self.eager.push(at);
            }
        } else {
            connection.task = Task::Idle;
            connection.output.extend_from_slice(&self.script.whole);
        }
        self.write(at);
    }

    fn due(&mut self, at: usize, due: u64) {
        let Some(connection) = &mut self.connections[at] else { return self.free.push(at) };
        match connection.task {
            Task::Waiting { stream } => self.answer(at, stream),
            Task::Streaming(left) => {
                self.event(at, left, 1);
                if let Some(Connection { task: Task::Streaming(_), .. }) = self.connections[at] {
                    self.timers.push(Reverse((due + self.script.pace, at)));
                }
            }
            Task::Idle => {}
        }
    }

    /// A stream without a pace: as much as one write takes.
    fn go_on(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else { return self.free.push(at) };
        let Task::Streaming(left) = connection.task else { return };
        if connection.output.is_empty() {
            self.event(at, left, self.script.batch);
        }
        if let Some(Connection { task: Task::Streaming(_), .. }) = self.connections[at] {
            self.eager.push(at);
        }
    }

    fn event(&mut self, at: usize, left: u64, most: u64) {
        let Some(connection) = &mut self.connections[at] else { return };
        let count = left.min(most);
        for _ in 0..count {
            connection.output.extend_from_slice(&self.script.event);
        }
        connection.task = Task::Streaming(left - count);
        if left == count {
            connection.output.extend_from_slice(&self.script.end);
            connection.task = Task::Idle;
        }
        self.write(at);
    }

    fn write(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        while connection.sent < connection.output.len() {
            match connection.stream.write(&connection.output[connection.sent..]) {
                Ok(count) => connection.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(at),
            }
        }
        let had_output = !connection.output.is_empty();
        connection.output.clear();
        connection.sent = 0;
        if had_output && connection.task == Task::Idle {
            if self.is_cut {
                return self.close(at);
            }
            self.serve(at);
        }
    }
}

enum Path {
    Models,
    Chat { stream: bool },
}

/// The size of the request at the front, and what it asks for, once it is there whole.
fn request_of(input: &[u8]) -> Option<(usize, Path)> {
    let head = memmem::find(input, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&input[..head]).unwrap_or_default();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let body = input.get(head..head + length)?;
    if !text.starts_with("POST") {
        return Some((head + length, Path::Models));
    }
    let says = |text: &[u8]| memmem::find(body, text).is_some();
    let stream = says(b"\"stream\":true") || says(b"\"stream\": true");
    Some((head + length, Path::Chat { stream }))
}
