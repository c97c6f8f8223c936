//! Clients that only ask: closed loop, open loop, streams, or streams that are held.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use penstock_load::alarm::Alarm;
use penstock_load::answer::{Answer, Fault};
use penstock_load::histogram::Histogram;
use penstock_load::options::Options;
use penstock_load::request::{Kind, request};
use penstock_load::since;
use penstock_load::text::Text;

const USAGE: &str = "\
load --port PORT [--mode closed] [--connections 64] [--rate 500] [--seconds 5] [--bytes 1024]
     [--text word|prose|code|chinese|escaped|mixed] [--model instant-model] [--header 'name: value'] [--base 3]
  --mode  closed   each connection asks again when it has its answer
          open     --rate requests a second, evenly spaced; times count from when one was due
          streams  as closed, but streamed
          hold     --connections streams that are kept, and --rate requests a second beside them,
                   first for --base seconds without the streams; of those 1,000 a second are opened";
/// An end between two requests, which is no fault but worth knowing.
const RECONNECTS: &str = "reconnects";
const MILLISECOND: u64 = 1_000_000;
/// In the poll, what is no connection.
const ALARM: Token = Token(usize::MAX - 1);
/// Between the opening of one held stream and the next.
const OPENING: u64 = MILLISECOND;
/// How long the streams are left alone before requests beside them count.
const SETTLING: u64 = 1_000 * MILLISECOND;
/// How long an answer may take before it counts as lost.
const PATIENCE: u64 = 60_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Closed,
    Open,
    Streams,
    Hold,
}

struct Connection {
    stream: TcpStream,
    kind: Kind,
    /// The answer being read, if a request is under way.
    answer: Option<Answer>,
    sent: usize,
    /// When the request was due, and when its last event came; nanoseconds.
    due: u64,
    last: u64,
    events: u64,
}

#[derive(Default)]
struct Results {
    latency: Histogram,
    /// As `latency`, of the time before the streams, and while they are opened.
    base: Histogram,
    opening: Histogram,
    first: Histogram,
    between: Histogram,
    events: u64,
    streams: u64,
    faults: BTreeMap<&'static str, u64>,
}

struct Load {
    mode: Mode,
    address: SocketAddr,
    poll: Poll,
    alarm: Alarm,
    connections: Vec<Option<Connection>>,
    /// Open connections of whole requests that wait for the next.
    idle: Vec<usize>,
    /// Connections that are to be opened anew; not from within, or a peer that refuses all would never
    /// let go of us.
    reopen: Vec<Kind>,
    /// When requests were due that found no connection.
    late: VecDeque<u64>,
    whole: Vec<u8>,
    streamed: Vec<u8>,
    results: Results,
    start: Instant,
    /// Until then whole answers count as base.
    base: u64,
    /// From then on all streams are open, and whole answers count beside them.
    open: u64,
    most: usize,
    /// Requests that wait for their answers.
    under_way: usize,
}

fn main() -> io::Result<()> {
    let options = Options::read(USAGE);
    let mode = match options.get("mode", "closed".to_owned()).as_str() {
        "closed" => Mode::Closed,
        "open" => Mode::Open,
        "streams" => Mode::Streams,
        "hold" => Mode::Hold,
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    let header: String = options.get("header", String::new());
    let extra = if header.is_empty() { header } else { header.replace('|', "\r\n") + "\r\n" };
    let model: String = options.get("model", "instant-model".to_owned());
    let prompt = (options.get("text", Text::Word), options.get("bytes", 1024));
    let address = format!("127.0.0.1:{}", options.get("port", 0u16));
    let seconds = |name, default: f64| (options.get(name, default) * 1e9) as u64;
    let wanted: usize = options.get("connections", 64);
    let base = if mode == Mode::Hold { seconds("base", 3.0) } else { 0 };
    let poll = Poll::new()?;
    let mut load = Load {
        mode,
        address: address.parse().map_err(io::Error::other)?,
        alarm: Alarm::new(poll.registry(), ALARM)?,
        poll,
        connections: Vec::new(),
        idle: Vec::new(),
        reopen: Vec::new(),
        late: VecDeque::new(),
        whole: request(Kind::Whole, &model, prompt, &extra),
        streamed: request(Kind::Stream, &model, prompt, &extra),
        results: Results::default(),
        start: Instant::now(),
        base,
        open: if mode == Mode::Hold { base + wanted as u64 * OPENING + SETTLING } else { 0 },
        most: wanted,
        under_way: 0,
    };
    let end = base + seconds("seconds", 5.0);
    load.run(wanted, 1e9 / options.get("rate", 500.0), end)?;
    println!("{}", load.report());
    Ok(())
}

impl Load {
    fn run(&mut self, wanted: usize, gap: f64, end: u64) -> io::Result<()> {
        let mut events = Events::with_capacity(4096);
        let mut buffer = vec![0; 256 << 10];
        if matches!(self.mode, Mode::Closed | Mode::Streams) {
            let kind = if self.mode == Mode::Closed { Kind::Whole } else { Kind::Stream };
            for _ in 0..wanted {
                let at = self.connect(kind)?;
                self.ask(at, since(self.start));
            }
        }
        let (mut asked, mut opened) = (0u64, 0usize);
        loop {
            let now = since(self.start);
            if now >= end {
                return Ok(());
            }
            for kind in std::mem::take(&mut self.reopen) {
                let at = self.connect(kind)?;
                self.ask(at, now);
            }
            let mut rings = if self.reopen.is_empty() { end } else { now + MILLISECOND };
            if matches!(self.mode, Mode::Open | Mode::Hold) {
                while (asked as f64 * gap) as u64 <= now {
                    self.ask_open((asked as f64 * gap) as u64)?;
                    asked += 1;
                }
                rings = rings.min((asked as f64 * gap) as u64);
            }
            if self.mode == Mode::Hold && now >= self.base && opened < wanted {
                // Evenly, so that nobody's backlog overflows and their events do not come in crowds.
                let due = (((now - self.base) / OPENING) as usize + 1).min(wanted);
                while opened < due {
                    let at = self.connect(Kind::Stream)?;
                    self.ask(at, since(self.start));
                    opened += 1;
                }
                rings = rings.min(now + MILLISECOND / 2);
            }
            self.alarm.set(rings, since(self.start))?;
            self.poll.poll(&mut events, None)?;
            for event in events.iter().filter(|event| event.token() != ALARM) {
                let Token(at) = event.token();
                if event.is_writable() {
                    self.write(at);
                }
                if event.is_readable() {
                    self.read(at, &mut buffer, event.is_read_closed());
                }
            }
        }
    }

    fn connect(&mut self, kind: Kind) -> io::Result<usize> {
        let mut stream = TcpStream::connect(self.address)?;
        let _ = stream.set_nodelay(true);
        let at = self.connections.len();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(at), both)?;
        self.connections.push(Some(Connection {
            stream,
            kind,
            answer: None,
            sent: 0,
            due: 0,
            last: 0,
            events: 0,
        }));
        Ok(at)
    }

    /// A request of the open loop: on an idle connection, a new one, or when one is idle again.
    fn ask_open(&mut self, due: u64) -> io::Result<()> {
        let at = match self.idle.pop() {
            Some(at) => at,
            None if self.mode == Mode::Hold || self.connections.len() < self.most => {
                self.connect(Kind::Whole)?
            }
            None => {
                self.late.push_back(due);
                return Ok(());
            }
        };
        self.ask(at, due);
        Ok(())
    }

    fn ask(&mut self, at: usize, due: u64) {
        let Some(connection) = &mut self.connections[at] else { return };
        connection.answer = Some(Answer::new(connection.kind));
        self.under_way += 1;
        (connection.sent, connection.due, connection.last, connection.events) = (0, due, due, 0);
        // A connection that is not made yet becomes writable when it is.
        self.write(at);
    }

    fn write(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        if connection.answer.is_none() {
            return;
        }
        let bytes = if connection.kind == Kind::Whole { &self.whole } else { &self.streamed };
        while connection.sent < bytes.len() {
            match connection.stream.write(&bytes[connection.sent..]) {
                Ok(count) => connection.sent += count,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(_) => return self.lost(at, "write"),
            }
        }
    }

    /// `ends`: the other side has closed, so there is more to be seen than a short read shows.
    fn read(&mut self, at: usize, buffer: &mut [u8], ends: bool) {
        loop {
            let Some(connection) = &mut self.connections[at] else { return };
            let count = match connection.stream.read(buffer) {
                Ok(0) => {
                    let why = match connection.answer.as_ref().map(Answer::closed) {
                        None | Some(Ok(())) => RECONNECTS,
                        Some(Err(fault)) => fault.name(),
                    };
                    return self.lost(at, why);
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.lost(at, "read"),
            };
            let now = since(self.start);
            let Some(answer) = &mut connection.answer else { return self.lost(at, "unasked") };
            match answer.feed(&buffer[..count]) {
                Err(fault) => {
                    self.show(fault, &buffer[..count]);
                    return self.lost(at, fault.name());
                }
                Ok(read) => {
                    // Events of one read share the time since the last one.
                    if let Some(gap) = (now - connection.last).checked_div(read.events) {
                        if connection.events == 0 {
                            self.results.first.add(now - connection.due);
                        } else {
                            self.results.between.add(gap);
                        }
                        connection.last = now;
                    }
                    connection.events += read.events;
                    self.results.events += read.events;
                    if read.is_complete {
                        self.complete(at, now);
                    } else if now - connection.due > PATIENCE && connection.kind == Kind::Whole {
                        return self.lost(at, "patience");
                    }
                }
            }
            if count < buffer.len() && !ends {
                return;
            }
        }
    }

    fn complete(&mut self, at: usize, now: u64) {
        let Some(connection) = &mut self.connections[at] else { return };
        connection.answer = None;
        self.under_way -= 1;
        let took = now - connection.due;
        match connection.kind {
            Kind::Stream => self.results.streams += 1,
            Kind::Whole if connection.due < self.base => self.results.base.add(took),
            Kind::Whole if connection.due < self.open => self.results.opening.add(took),
            Kind::Whole => self.results.latency.add(took),
        }
        match (self.mode, connection.kind) {
            (Mode::Closed | Mode::Streams, _) | (Mode::Hold, Kind::Stream) => self.ask(at, now),
            (Mode::Open | Mode::Hold, _) => match self.late.pop_front() {
                Some(due) => self.ask(at, due),
                None => self.idle.push(at),
            },
        }
    }

    /// A connection is gone, and what was asked on it with it.
    fn lost(&mut self, at: usize, why: &'static str) {
        *self.results.faults.entry(why).or_insert(0) += 1;
        let Some(connection) = self.connections[at].take() else { return };
        self.idle.retain(|&idle| idle != at);
        self.under_way -= usize::from(connection.answer.is_some());
        if matches!(self.mode, Mode::Closed | Mode::Streams) {
            self.reopen.push(connection.kind);
        }
    }

    fn show(&self, fault: Fault, bytes: &[u8]) {
        if self.results.faults.is_empty() {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
            eprintln!("first fault: {}: {text:?}", fault.name());
        }
    }

    fn report(&self) -> String {
        let Results { latency, base, opening, first, between, events, streams, faults } =
            &self.results;
        let faults: Vec<String> =
            faults.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
        format!(
            "{{\"seconds\":{:.3},\"answers\":{},\"streams\":{streams},\"events\":{events},\"under_way\":{},\
             \"late\":{},\"faults\":{{{}}},\"latency_us\":{},\"base_us\":{},\"opening_us\":{},\"first_us\":{},\"between_us\":{}}}",
            since(self.start) as f64 / 1e9,
            latency.count() + base.count() + opening.count(),
            self.under_way,
            self.late.len(),
            faults.join(","),
            latency.json(),
            base.json(),
            opening.json(),
            first.json(),
            between.json(),
        )
    }
}
