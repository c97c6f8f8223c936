//! The state transitions that a request and its connections go through, as `tracing` tells of them.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::config::{A, on};
use crate::fake::Effect::Connect;
use crate::harness::Harness;
use crate::replies::{LAST_CHUNK, STREAM, finish, text, whole};

/// Keeps each event as a line of its fields.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{space}{}={value:?}", field.name()).expect("a string");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("penstock_core")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().expect("one thread").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is told while something is done.
fn traced(act: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), act);
    let told = lines.0.lock().expect("one thread");
    told.clone()
}

#[test]
fn a_request_s_life() {
    let mut h = Harness::new(on(&["a"], 1));
    assert_eq!(
        traced(|| h.submit(1)),
        [
            "request=0.0 request_id=req-1 old=new new=queued",
            "request=0.0 old=queued new=connecting",
            "connection=0.0 request=0.0 old=new new=connecting",
        ]
    );
    assert_eq!(
        traced(|| h.connected(0)),
        ["connection=0.0 old=connecting new=serving", "request=0.0 old=connecting new=sent"]
    );
    let begin = [STREAM, &text("hello")].concat();
    assert_eq!(traced(|| h.bytes(0, &begin)), ["request=0.0 old=sent new=streaming"]);
    assert_eq!(traced(|| h.bytes(0, &text("again"))), [""; 0], "nothing changes");
    assert_eq!(traced(|| h.bytes(0, &finish())), ["request=0.0 old=streaming new=awaiting_end"]);
    assert_eq!(
        traced(|| h.bytes(0, LAST_CHUNK)),
        [
            "request=0.0 old=awaiting_end new=over",
            "connection=0.0 old=serving new=idle",
            "request=0.0 old=over new=forgotten",
        ]
    );
}

#[test]
fn a_retry_and_a_client_that_leaves() {
    let mut h = Harness::new(on(&["a", "b"], 1));
    h.start(1);
    assert_eq!(
        traced(|| h.reset(0)),
        [
            "request=0.0 old=sent new=over",
            "connection=0.0 old=serving new=closed",
            "request=0.0 old=over new=queued",
            "request=0.0 old=queued new=connecting",
            "connection=0.1 request=0.0 old=new new=connecting",
        ]
    );
    h.connected(1);
    assert_eq!(
        traced(|| h.gone(1)),
        [
            "request=0.0 old=sent new=over",
            "connection=0.1 old=serving new=aborting",
            "request=0.0 old=over new=forgotten",
        ]
    );
    assert_eq!(traced(|| h.eof(1)), ["connection=0.1 old=aborting new=closed"]);
}

#[test]
fn one_request_behind_the_other_and_the_drain() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start_whole(1);
    assert_eq!(
        traced(|| h.submit(2)),
        ["request=1.0 request_id=req-2 old=new new=queued"],
        "it waits"
    );
    assert_eq!(
        traced(|| h.bytes(0, &whole())),
        [
            "request=0.0 old=sent new=over",
            "connection=0.0 old=serving new=idle",
            "request=1.0 old=queued new=connecting",
            "connection=0.0 old=idle new=serving",
            "request=1.0 old=connecting new=sent",
            "request=0.0 old=over new=forgotten",
        ]
    );
    assert_eq!(traced(|| h.drain()), ["worker=0 old=serving new=draining"]);
    h.take();
    h.gone(2);
    h.eof(0);
    assert!(!h.take().contains(&Connect(1, A)));
}
