//! A connection's owner, who does what the connection says, as an event loop would.

use penstock_core::client::{Answered, ClientConfig, ClientConnection, Received, Step};
use penstock_core::identity::IdentityHeaders;
use penstock_core::time::Nanos;
use penstock_core::worker::{Key, RequestId};

pub fn config() -> ClientConfig {
    let identity = IdentityHeaders {
        tenant: Some("x-tenant".to_owned()),
        priority: Some("x-priority".to_owned()),
        sessions: Vec::new(),
    };
    ClientConfig::new(16 << 10, 1 << 20, identity)
}

pub fn request(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub fn id(number: u64) -> RequestId {
    RequestId(Key::from(number))
}

/// When the gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Within the call that submits the request.
    AtOnce,
    /// When the whole piece has been handed over.
    Later,
}

/// A connection and its owner, who does what the connection says.
#[derive(Debug)]
pub struct Owner {
    pub config: ClientConfig,
    pub connection: ClientConnection,
    pub answers: Answers,
    pub now: Nanos,
    /// Bodies of the requests that were served.
    pub served: Vec<String>,
    /// A request is in hand.
    pub is_serving: bool,
    pub is_reading: bool,
    pub handed_over: Option<Vec<u8>>,
}

impl Owner {
    pub fn new(answers: Answers) -> Self {
        Owner {
            config: config(),
            connection: ClientConnection::new(0),
            answers,
            now: 0,
            served: Vec::new(),
            is_serving: false,
            is_reading: true,
            handed_over: None,
        }
    }

    pub fn receive(&mut self, data: &[u8]) {
        if let Some(bytes) = &mut self.handed_over {
            return bytes.extend_from_slice(data);
        }
        match self.connection.received(data, self.now) {
            Received::Step => self.advance(data),
            Received::Kept => {}
            Received::StopReading => self.is_reading = false,
        }
    }

    pub fn advance(&mut self, mut data: &[u8]) {
        loop {
            match self.connection.step(&self.config, data, true) {
                Step::Wait => return,
                Step::ReadOn => {
                    self.is_reading = true;
                    return;
                }
                Step::HandOver => {
                    assert!(self.connection.may_hand_over());
                    self.handed_over = Some(self.connection.hand_over().0);
                    return;
                }
                Step::Serve(request, _) => {
                    self.served.push(String::from_utf8_lossy(request.body()).into_owned());
                    let number = self.served.len() as u64;
                    self.is_serving = self.answers == Answers::Later;
                    if self.answers == Answers::AtOnce {
                        assert_eq!(self.connection.answered(true, self.now), Answered::Submitter);
                    }
                    assert_eq!(self.connection.submitted(Some(id(number))), None);
                }
            }
            data = b"";
        }
    }

    /// The answer to the request in hand is written.
    pub fn answer(&mut self) {
        assert_eq!(self.connection.answered(true, self.now), Answered::Step);
        self.is_serving = false;
        self.advance(b"");
    }

    pub fn answer_all(&mut self) {
        while self.is_serving {
            self.answer();
        }
    }
}
