//! The requests in hand.

use std::sync::Arc;

use penstock_admission::Ticket;

use super::connection::ConnectionId;
use super::slab::{Key, Slab};
use crate::exchange::Exchange;
use crate::generation::Generation;
use crate::identity::RequestAttributes;
use crate::routing::BackendIndex;
use crate::time::Nanos;

/// Names a client's side while it waits for an answer; whoever owns the sockets chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId(pub Key);

/// Names a request in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub(super) Key);

impl RequestId {
    pub(super) fn place(self) -> u32 {
        self.0.place()
    }
}

/// One request, from its plan to the end of its last attempt.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) exchange: Exchange,
    /// The configuration that it came under, which it keeps.
    pub(super) generation: Arc<Generation>,
    /// `None` once the client has its answer or has left.
    pub(super) client: Option<ClientId>,
    pub(super) connection: Option<ConnectionId>,
    /// The place in admission, queued or running.
    pub(super) ticket: Option<Ticket>,
    pub(super) attributes: RequestAttributes,
    /// Output tokens that its reservation of KV memory covers.
    pub(super) reserved: u64,
    /// Backends that have failed this request.
    pub(super) failed: Vec<BackendIndex>,
    /// The longest wait that a full backend has asked for, in seconds.
    pub(super) retry_after: u32,
    /// A reused connection was found dead, so the next one is to be new.
    pub(super) wants_fresh: bool,
    /// It tries whether its backend can be reached again.
    pub(super) is_trial: bool,
    /// How often it did so in vain and waited again.
    pub(super) trials: u8,
    /// Penstock's own time so far.
    pub(super) overhead: Nanos,
}

impl Request {
    pub(super) fn new(
        exchange: Exchange,
        generation: Arc<Generation>,
        client: ClientId,
        attributes: RequestAttributes,
    ) -> Self {
        Request {
            exchange,
            generation,
            client: Some(client),
            connection: None,
            ticket: None,
            attributes,
            reserved: 0,
            failed: Vec::new(),
            retry_after: 0,
            wants_fresh: false,
            is_trial: false,
            trials: 0,
            overhead: 0,
        }
    }

    /// When a timer of this request is due next.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.exchange.deadline(&self.generation.table)
    }
}

/// Every request in hand. They are boxed, since the slab moves what it holds when it grows.
#[derive(Debug, Default)]
pub(super) struct Requests(Slab<Box<Request>>);

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Places that there are, in use or free.
    pub(super) fn places(&self) -> usize {
        self.0.places()
    }

    pub(super) fn insert(&mut self, request: Request) -> RequestId {
        let request = Box::new(request);
        RequestId(self.0.insert(|_| request))
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&Request> {
        self.0.get(id.0).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.0.get_mut(id.0).map(Box::as_mut)
    }

    pub(super) fn remove(&mut self, id: RequestId) {
        self.0.remove(id.0);
    }

    /// The request in a place of the slab, if one is there now.
    pub(super) fn in_place(&self, place: u32) -> Option<RequestId> {
        self.0.key_in(place).map(RequestId)
    }

    pub(super) fn ids(&self) -> Vec<RequestId> {
        self.0.keys().into_iter().map(RequestId).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RequestId, &Request)> {
        self.0.iter().map(|(key, request)| (RequestId(key), request.as_ref()))
    }
}
