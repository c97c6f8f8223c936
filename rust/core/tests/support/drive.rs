//! Drives one exchange in process, from the backend's first byte to the client's last.

use penstock_core::endpoint::Chat;
use penstock_core::exchange::{Client, Exchange, Failure, Next, Output, Record, UpstreamEnd};
use penstock_core::routing::{Plan, Table};
use penstock_core::time::Now;

use super::START;

/// How the backend's connection ends after the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Eof,
    Lost,
    /// It stays open.
    Open,
}

pub fn client() -> Client {
    Client { request_id: "req-1".to_owned(), keep_alive: true, http10: false, headers: Vec::new() }
}

/// An exchange that has been granted backend 0 and has written its request.
pub fn sent(table: &Table, plan: Plan, client: Client) -> Exchange {
    let mut exchange = Exchange::new(plan, client, "chatcmpl-own", START);
    exchange.granted(0, 7, START);
    let mut request = Vec::new();
    let tail = exchange.send(table, "served", None, START, &mut request);
    request.extend_from_slice(tail);
    assert!(!request.is_empty());
    exchange
}

/// The result of a run.
#[derive(Debug)]
pub struct Ran {
    /// All bytes that the client got.
    pub wire: Vec<u8>,
    /// The failure, if the client got it as an error response.
    pub failure: Option<Failure>,
    pub upstream: Option<UpstreamEnd>,
    /// The `result` label, if the exchange itself ended the attempt.
    pub result: Option<&'static str>,
    pub record: Option<Record>,
    /// The client got its whole answer or error.
    pub finished: bool,
}

pub struct Run<'t> {
    pub table: &'t Table,
    pub exchange: Exchange,
    pub out: Output,
    pub ran: Ran,
}

impl<'t> Run<'t> {
    pub fn new(table: &'t Table, plan: Plan, client: Client) -> Self {
        let ran = Ran {
            wire: Vec::new(),
            failure: None,
            upstream: None,
            result: None,
            record: None,
            finished: false,
        };
        Run { table, exchange: sent(table, plan, client), out: Output::default(), ran }
    }

    pub fn of(table: &'t Table, body: &[u8]) -> Self {
        Run::new(table, Plan::make(table, &Chat, body).expect("a good request"), client())
    }

    fn take(&mut self, next: Next, now: Now) -> bool {
        self.out.assemble(|pieces| self.ran.wire.extend(pieces.concat()));
        match next {
            Next::Continue => return true,
            Next::Answered => {
                self.ran.finished = true;
                return true;
            }
            Next::Failed { failure, upstream } => {
                assert!(self.out.is_empty(), "nothing may be written before a retry");
                self.out = Output::default();
                self.exchange.give_up(self.table, &failure, now, &mut self.out);
                self.out.assemble(|pieces| self.ran.wire.extend(pieces.concat()));
                self.ran.failure = Some(failure);
                self.ran.upstream = Some(upstream);
            }
            Next::Ended(ended) => {
                self.ran.upstream = Some(ended.upstream);
                self.ran.result = Some(ended.result.name());
            }
        }
        self.ran.finished = true;
        false
    }

    fn over(&self) -> bool {
        self.ran.upstream.is_some()
    }

    /// Appends the output of each call, as a transport would write it.
    pub fn feed(&mut self, piece: &[u8], now: Now) -> &mut Self {
        if !self.over() {
            self.out = Output::default();
            let next = self.exchange.upstream_bytes(self.table, piece, now, &mut self.out);
            self.take(next, now);
        }
        self
    }

    pub fn time(&mut self, now: Now) -> &mut Self {
        if !self.over() {
            self.out = Output::default();
            let next = self.exchange.time(self.table, now, &mut self.out);
            self.take(next, now);
        }
        self
    }

    pub fn end(&mut self, ending: Ending, now: Now) -> &mut Self {
        if !self.over() && ending != Ending::Open {
            self.out = Output::default();
            let next = match ending {
                Ending::Lost => self.exchange.upstream_lost(self.table, now, &mut self.out),
                _ => self.exchange.upstream_eof(self.table, now, &mut self.out),
            };
            self.take(next, now);
        }
        self
    }

    pub fn finish(mut self) -> Ran {
        self.ran.record = self.exchange.take_record();
        self.ran
    }
}

/// Feeds the pieces at one moment and ends the connection.
pub fn run(table: &Table, plan: &Plan, pieces: &[&[u8]], ending: Ending) -> Ran {
    let mut run = Run::new(table, plan.clone(), client());
    for piece in pieces {
        run.feed(piece, START);
    }
    run.end(ending, START);
    run.finish()
}
