//! The requests in hand.

use std::sync::Arc;

use penstock_admission::Ticket;

use super::ids::{ClientId, ConnectionId, RequestId};
use super::slab::Slab;
use crate::exchange::Exchange;
use crate::generation::Generation;
use crate::identity::RequestAttributes;
use crate::routing::BackendIndex;
use crate::time::Nanos;
use crate::trace::transition;

/// One request, from its plan to the end of its last attempt.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) exchange: Exchange,
    /// The configuration that it came under, which it keeps.
    pub(crate) generation: Arc<Generation>,
    /// `None` once the client has its answer or has left.
    pub(crate) client: Option<ClientId>,
    pub(crate) connection: Option<ConnectionId>,
    /// The place in admission, queued or running.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) attributes: RequestAttributes,
    /// Output tokens that its reservation of KV memory covers.
    pub(crate) reserved: u64,
    /// Backends that have failed this request.
    pub(crate) failed: Vec<BackendIndex>,
    /// The longest wait that a full backend has asked for, in seconds.
    pub(crate) retry_after: u32,
    /// A reused connection was found dead, so the next one is to be new.
    pub(crate) wants_fresh: bool,
    /// It tries whether its backend can be reached again.
    pub(crate) is_trial: bool,
    /// How often it did so in vain and waited again.
    pub(crate) trials: u8,
    /// Penstock's own time so far.
    pub(crate) overhead: Nanos,
}

impl Request {
    pub(crate) fn new(
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
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.exchange.deadline(&self.generation.table)
    }
}

/// Every request in hand. They are boxed, since the slab moves what it holds when it grows.
#[derive(Debug, Default)]
pub(crate) struct Requests(Slab<Box<Request>>);

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Places that there are, in use or free.
    pub(crate) fn places(&self) -> usize {
        self.0.places()
    }

    pub(crate) fn insert(&mut self, request: Request) -> RequestId {
        let request = Box::new(request);
        let id = RequestId(self.0.insert(|_| request));
        transition!("new" => "queued", request = id,
            request_id = self.get(id).map_or("", |request| &request.exchange.client.request_id));
        id
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Request> {
        self.0.get(id.0).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.0.get_mut(id.0).map(Box::as_mut)
    }

    pub(crate) fn remove(&mut self, id: RequestId) {
        self.0.remove(id.0);
        transition!("over" => "forgotten", request = id);
    }

    /// The request in a place of the slab, if one is there now.
    pub(crate) fn in_place(&self, place: u32) -> Option<RequestId> {
        self.0.key_in(place).map(RequestId)
    }

    pub(crate) fn ids(&self) -> Vec<RequestId> {
        self.0.keys().into_iter().map(RequestId).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Request)> {
        self.0.iter().map(|(key, request)| (RequestId(key), request.as_ref()))
    }
}
