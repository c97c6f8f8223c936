//! Who ended a request, and in which phase.

/// Who ended a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    Normal,
    Client,
    Backend,
    Gateway,
    Policy,
}

/// In which phase it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Where {
    Request,
    Queue,
    Connect,
    FirstEvent,
    Stream,
    Done,
}

/// The termination state of a request, as in `HAProxy`'s log: who ended it, and in which phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term(pub Who, pub Where);

impl Who {
    pub const ALL: [Who; 5] = [Who::Normal, Who::Client, Who::Backend, Who::Gateway, Who::Policy];
}

impl Where {
    pub const ALL: [Where; 6] = [
        Where::Request,
        Where::Queue,
        Where::Connect,
        Where::FirstEvent,
        Where::Stream,
        Where::Done,
    ];
}

impl Term {
    pub fn letters(self) -> [u8; 2] {
        let who = match self.0 {
            Who::Normal => b'-',
            Who::Client => b'C',
            Who::Backend => b'B',
            Who::Gateway => b'G',
            Who::Policy => b'P',
        };
        let place = match self.1 {
            Where::Request => b'R',
            Where::Queue => b'Q',
            Where::Connect => b'C',
            Where::FirstEvent => b'F',
            Where::Stream => b'S',
            Where::Done => b'D',
        };
        [who, place]
    }
}
