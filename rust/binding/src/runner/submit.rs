//! Submits whole requests to the worker.

use std::rc::Rc;

use penstock_admission::shm::monotonic;
use penstock_core::endpoint::Endpoint;
use penstock_core::exchange::Client;
use penstock_core::identity::RequestAttributes;
use penstock_core::openai::{ApiError, Code};
use penstock_core::worker::{RequestId, Submitted};
use pyo3::prelude::*;

use super::client_side::ClientSide;
use super::worker_runner::WorkerRunner;

/// How an answer is given, and whether the connection stays open after it.
#[derive(Debug)]
pub(crate) struct AnswerOptions {
    pub(crate) keep_alive: bool,
    pub(crate) http10: bool,
    /// More lines for the answer's head, each ended by CRLF.
    pub(crate) headers: Vec<u8>,
}

impl AnswerOptions {
    /// An HTTP/1.1 client's, on a connection that stays open.
    pub(crate) const KEEP_ALIVE: AnswerOptions =
        AnswerOptions { keep_alive: true, http10: false, headers: Vec::new() };
}

/// A whole request, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) endpoint: &'static dyn Endpoint,
    pub(crate) body: &'a [u8],
    /// The client's own id of the request.
    pub(crate) request_id: Option<&'a str>,
    pub(crate) options: &'a AnswerOptions,
    pub(crate) side: ClientSide,
    pub(crate) attributes: RequestAttributes,
}

impl WorkerRunner {
    /// Submits a request. `None`: it already has its answer. After a panic that answer is an internal error.
    pub(crate) fn submit(
        self: &Rc<Self>,
        py: Python<'_>,
        submission: Submission<'_>,
    ) -> Option<RequestId> {
        let Submission { endpoint, body, request_id, options, side, attributes } = submission;
        let client = |request_id| {
            let AnswerOptions { keep_alive, http10, headers } = options;
            let (keep_alive, http10, headers) = (*keep_alive, *http10, headers.clone());
            Client { request_id, keep_alive, http10, headers }
        };
        let client_id = self.state.borrow_mut().connections.add_client(side);
        let mut started = 0;
        let submitted = self.run(py, |worker, io, now| {
            started = now.mono;
            let client = client(worker.ids.request_id(request_id));
            let incoming = Submitted { endpoint, body, client, client_id, attributes };
            worker.submit(io, incoming, now)
        });
        if submitted.is_none() {
            self.run(py, |worker, io, now| {
                if io.connections.is_waiting(client_id) {
                    // The panic came before the worker had a request to answer.
                    let client = client(worker.ids.request_id(request_id));
                    let error = ApiError::new(Code::InternalError, "internal error");
                    worker.reject(io, endpoint, &error, &client, client_id, None, now);
                }
            });
        }
        let id = submitted??;
        let overhead = monotonic() - started;
        self.state.borrow_mut().worker.note_overhead(id, overhead);
        Some(id)
    }
}
