//! Every recorded chat answer, replayed: whole, split at every byte, byte by byte, cut at every byte.
//!
//! Each recording must give a valid normalised answer or the error listed below. Recordings that need a
//! rule that does not exist yet are listed with that rule and must fail as listed, so that the list shrinks
//! when the rule is added.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use penstock_core::endpoint::Chat;
use penstock_core::routing::{Plan, Table};
use serde_json::json;

use support::client::{Answer, Error};
use support::drive::{Ending, Ran, run};
use support::recordings::Recorded;
use support::{INSTANT, naive, shape, show};

/// Valid answers that need a future rule: recording, the code it fails with today, rule.
const WAITING: &[(&str, &str, &str)] = &[
    ("ollama-0.33/chat-n2", "upstream_ignored_parameter", Q16),
    ("ollama-0.33/chat-n2-stream", "upstream_ignored_parameter", Q16),
    ("tgi-3.3.6/chat-n2", "upstream_ignored_parameter", Q16),
    ("tgi-3.3.6/chat-n2-stream", "upstream_ignored_parameter", Q16),
    ("tgi-3.3.6/n-2", "upstream_ignored_parameter", Q16),
    ("tgi-3.3.6/n-2-stream", "upstream_ignored_parameter", Q16),
    ("transformers-5.17/chat-n2", "upstream_ignored_parameter", Q16),
    ("transformers-5.17/chat-n2-stream", "upstream_ignored_parameter", Q16),
    ("tgi-3.3.6/history-call-id-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/history-int-id-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-call-auto-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-forced-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-logprobs-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-named-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-required-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-required-two-stream-usage", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tool-split-stream", "upstream_truncated", TGI_TOOLS),
    ("tgi-3.3.6/tools-no-args-split-stream", "upstream_truncated", TGI_TOOLS),
    // A server error that is reported as a 422.
    ("tgi-3.3.6/down-stream", "invalid_value", P15),
    ("tgi-3.3.6/fail-first-stream", "invalid_value", P15),
    ("tgi-3.3.6/fail-tool-stream", "invalid_value", P15),
    ("tgi-3.3.6/tool-auto-cut", "invalid_value", P15),
    ("tgi-3.3.6/tool-cut", "invalid_value", P15),
    ("tgi-3.3.6/tool-empty-object", "invalid_value", P15),
];

const Q16: &str = "Q16: n > 1 as a fan-out where the server gives one choice";
const TGI_TOOLS: &str = "profile tgi: a bare [DONE] finishes a tool call (compat-tgi.md)";
const P15: &str = "P15: a generation that failed is a 502 and not the client's fault";

/// Recordings of status 200 that are errors.
const BROKEN: &[(&str, u16, &str)] = &[
    // An empty recording: the connection ended before the first byte.
    ("ollama-0.33/chat-max-completion", 502, "upstream_reset"),
    ("vllm-0.32.0/chat-logprobs", 502, "upstream_reset"),
    // `[DONE]` without a single choice.
    ("tgi-3.3.6/tool-auto-cut-stream", 502, "upstream_truncated"),
    ("tgi-3.3.6/tool-empty-object-stream", 502, "upstream_truncated"),
    // An error event first.
    ("tgi-3.3.6/err-too-long-stream", 400, "context_length_exceeded"),
    ("tgi-3.3.6/too-long-input-only-stream", 400, "context_length_exceeded"),
    ("tgi-3.3.6/overload-stream", 429, "upstream_overloaded"),
    ("tgi-3.3.6/rf-bad-schema-stream", 400, "invalid_value"),
    ("tgi-3.3.6/top-p-1-stream", 400, "invalid_value"),
];

/// Recordings of a 4xx with a more specific code than `invalid_value`.
const OVERFLOW: &[&str] = &[
    "llama-server-b11549/err-too-long",
    "llama-server-b11549/err-too-long-stream",
    "tgi-3.3.6/err-too-long",
    "tgi-3.3.6/too-long-input-only",
    "vllm-0.32.0/err-too-long",
    "vllm-0.32.0/err-too-long-stream",
];

/// Recorded requests that Penstock itself refuses, with the code. Their answers are replayed for a plain
/// request instead.
const REFUSED: &[(&str, &str)] = &[
    ("llama-server-b11549/err-empty-messages", "invalid_value"),
    ("llama-server-b11549/err-malformed", "invalid_json"),
    ("llama-server-b11549/err-no-messages", "missing_required_parameter"),
    ("llama-server-b11549/err-param", "invalid_value"),
    ("ollama-0.33/err-empty-messages", "invalid_value"),
    ("ollama-0.33/err-malformed", "invalid_json"),
    ("ollama-0.33/err-no-messages", "missing_required_parameter"),
    ("ollama-0.33/err-param", "invalid_value"),
    ("tgi-3.3.6/duplicate-key", "duplicate_key"),
    ("tgi-3.3.6/empty-messages-stream", "invalid_value"),
    ("tgi-3.3.6/err-array-body", "invalid_json"),
    ("tgi-3.3.6/err-empty-body", "invalid_json"),
    ("tgi-3.3.6/err-empty-messages", "invalid_value"),
    ("tgi-3.3.6/err-no-messages", "missing_required_parameter"),
    ("tgi-3.3.6/max-zero", "invalid_value"),
    ("tgi-3.3.6/model-missing", "missing_required_parameter"),
    ("tgi-3.3.6/model-null", "missing_required_parameter"),
    ("transformers-5.17/err-empty-messages", "invalid_value"),
    ("transformers-5.17/err-malformed", "invalid_json"),
    ("transformers-5.17/err-no-messages", "missing_required_parameter"),
    ("transformers-5.17/err-param", "invalid_value"),
    ("vllm-0.32.0/err-empty-messages", "invalid_value"),
    ("vllm-0.32.0/err-malformed", "invalid_json"),
    ("vllm-0.32.0/err-no-messages", "missing_required_parameter"),
    ("vllm-0.32.0/err-param", "invalid_value"),
];

/// Number of recordings, so that a missing file fails the test.
const RECORDINGS: usize = 272;

struct Recording {
    /// `folder/name`.
    name: String,
    raw: Vec<u8>,
    plan: Plan,
    /// The code with which Penstock refuses the recorded request.
    refused: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// An error response. (Of the recordings, only those in `WAITING` fail after the answer has begun.)
    Status(u16, &'static str),
    Waiting(&'static str),
}

impl Recording {
    fn status(&self) -> u16 {
        std::str::from_utf8(self.raw.get(9..12).unwrap_or_default())
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    fn fate(&self) -> Fate {
        let name = self.name.as_str();
        if let Some(&(_, code, _)) = WAITING.iter().find(|row| row.0 == name) {
            return Fate::Waiting(code);
        }
        if let Some(&(_, status, code)) = BROKEN.iter().find(|row| row.0 == name) {
            return Fate::Status(status, code);
        }
        if OVERFLOW.contains(&name) {
            return Fate::Status(400, "context_length_exceeded");
        }
        match self.status() {
            200 => Fate::Good,
            400 | 422 => Fate::Status(400, "invalid_value"),
            413 => Fate::Status(413, "request_too_large"),
            429 => Fate::Status(429, "upstream_overloaded"),
            // Penstock chose credentials, path and model name, so their refusal is a 502.
            401 | 404 | 415 | 424 | 500 => Fate::Status(502, "upstream_error"),
            other => panic!("{name}: status {other}"),
        }
    }

    fn run(&self, table: &Table, pieces: &[&[u8]], ending: Ending) -> Ran {
        run(table, &self.plan, pieces, ending)
    }

    fn whole(&self, table: &Table) -> Ran {
        self.run(table, &[&self.raw], Ending::Eof)
    }

    /// Number of bytes after which the answer is complete: later cuts lose nothing.
    fn complete_at(&self) -> usize {
        const DONE: &[u8] = b"data: [DONE]\n\n";
        if self.plan.stream && self.status() == 200 {
            // A chunk holds the event whole in every recording.
            naive::find(&self.raw, DONE).map_or(self.raw.len(), |at| at + DONE.len())
        } else {
            self.raw.len()
        }
    }
}

/// Runs `test` over all recordings on all cores, and names the one that fails.
fn each(test: impl Fn(&Table, &Recording) + Sync) {
    let table = support::table();
    let recordings = recordings(&table);
    let next = AtomicUsize::new(0);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let work = || {
            let mut failed = Vec::new();
            while let Some(recording) = recordings.get(next.fetch_add(1, Ordering::Relaxed)) {
                let test = std::panic::AssertUnwindSafe(|| test(&table, recording));
                if std::panic::catch_unwind(test).is_err() {
                    failed.push(recording.name.clone());
                }
            }
            failed
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a thread")).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

fn good_shape(recording: &Recording, answer: &Answer) -> Result<(), String> {
    let plan = &recording.plan;
    if plan.stream {
        shape::stream(answer, INSTANT, plan.n as usize, plan.include_usage)
    } else {
        shape::body(answer, INSTANT, plan.n as usize)
    }
}

#[test]
fn every_list_names_recordings_that_exist() {
    let table = support::table();
    let recordings = recordings(&table);
    assert_eq!(recordings.len(), RECORDINGS);
    let known: HashMap<&str, &Recording> =
        recordings.iter().map(|recording| (recording.name.as_str(), recording)).collect();
    let listed = WAITING
        .iter()
        .map(|row| row.0)
        .chain(BROKEN.iter().map(|row| row.0))
        .chain(OVERFLOW.iter().copied())
        .chain(REFUSED.iter().map(|row| row.0));
    for name in listed {
        assert!(known.contains_key(name), "{name}");
    }
    for recording in &recordings {
        let listed = REFUSED.iter().find(|row| row.0 == recording.name).map(|row| row.1);
        assert_eq!(recording.refused, listed, "{}", recording.name);
    }
}

#[test]
fn every_recording_comes_to_what_is_listed() {
    each(|table, recording| {
        let ran = recording.whole(table);
        let answer = Answer::read(&ran.wire);
        let error = answer.error();
        assert!(ran.finished, "{}: not finished", recording.name);
        match recording.fate() {
            Fate::Good => {
                assert_eq!(error, None, "{}", recording.name);
                if let Err(why) = good_shape(recording, &answer) {
                    panic!("{}: {why}\n{}", recording.name, show(&ran.wire));
                }
            }
            Fate::Status(status, code) => {
                let Some(Error { status: got, code: got_code, in_stream, .. }) = error else {
                    panic!("{}: no error", recording.name);
                };
                assert_eq!((got, got_code.as_str(), in_stream), (status, code, false));
            }
            Fate::Waiting(code) => {
                let code_now = error.map(|error| error.code);
                assert_eq!(code_now.as_deref(), Some(code), "{}: off the list?", recording.name);
            }
        }
    });
}

/// The client's bytes without the chunking: head, body, and whether it was ended.
fn plain(wire: &[u8]) -> (&[u8], Vec<u8>, bool) {
    let length = naive::find(wire, b"\r\n\r\n").expect("a head") + 4;
    let (head, rest) = wire.split_at(length);
    if naive::find(head, b"transfer-encoding: chunked").is_some() {
        let (data, end) = naive::dechunk(rest).unwrap_or_else(|| panic!("framing: {}", show(wire)));
        (head, data, end == Some(rest.len()))
    } else {
        (head, rest.to_vec(), true)
    }
}

#[test]
fn split_at_every_byte_the_client_gets_the_same() {
    each(|table, recording| {
        let whole = recording.whole(table);
        let expected = plain(&whole.wire);
        for at in 0..=recording.raw.len() {
            let (first, second) = recording.raw.split_at(at);
            let ran = recording.run(table, &[first, second], Ending::Eof);
            let got = plain(&ran.wire);
            assert!(
                got == expected && ran.failure == whole.failure,
                "{} split at {at}: {}\ninstead of {}",
                recording.name,
                show(&ran.wire),
                show(&whole.wire)
            );
        }
    });
}

#[test]
fn byte_by_byte_the_client_gets_the_same() {
    each(|table, recording| {
        let whole = recording.whole(table);
        let bytes: Vec<&[u8]> = recording.raw.chunks(1).collect();
        let ran = recording.run(table, &bytes, Ending::Eof);
        assert_eq!(plain(&ran.wire), plain(&whole.wire), "{}", recording.name);
    });
}

/// A truncated answer is an error with `code`, preceded by a prefix of the whole answer.
fn is_cut(recording: &Recording, cut: usize, ran: &Ran, code: &str, good: &[u8]) {
    const ERROR: &[u8] = b"data: {\"error\":";
    let name = &recording.name;
    let (head, body, complete) = plain(&ran.wire);
    assert!(complete, "{name} cut at {cut} hangs");
    // The same check as `Answer::error`, but without reading the good events before at every cut.
    let error = if naive::find(head, b"text/event-stream").is_some() {
        let at = body.windows(ERROR.len()).rposition(|window| window == ERROR);
        let at = at.unwrap_or_else(|| panic!("{name} cut at {cut} ends cleanly: {}", show(&body)));
        assert!(good.starts_with(&body[..at]), "{name} cut at {cut}: other events before");
        let tail = [head, &body[at..]].concat();
        let text =
            String::from_utf8(tail).expect("text").replace("transfer-encoding: chunked\r\n", "");
        Answer::read(text.as_bytes()).error()
    } else {
        let answer = Answer::read(&ran.wire);
        assert!(answer.status != 200, "{name} cut at {cut} ends cleanly: {}", show(&body));
        assert_eq!(answer.status, 502, "{name} cut at {cut}");
        answer.error()
    };
    assert_eq!(error.expect("an error").code, code, "{name} cut at {cut}");
}

#[test]
fn cut_at_every_byte_it_is_an_error_and_never_a_clean_end() {
    each(|table, recording| {
        if recording.raw.is_empty() {
            return;
        }
        let good = plain(&recording.whole(table).wire).1;
        let head = naive::find(&recording.raw, b"\r\n\r\n").expect("a head") + 4;
        let complete_at = recording.complete_at();
        for cut in 0..recording.raw.len() {
            for ending in [Ending::Eof, Ending::Lost] {
                let ran = recording.run(table, &[&recording.raw[..cut]], ending);
                let code = if cut < head || ending == Ending::Lost {
                    "upstream_reset"
                } else {
                    "upstream_truncated"
                };
                match recording.fate() {
                    Fate::Good if cut >= complete_at => {
                        let (_, body, complete) = plain(&ran.wire);
                        assert!(complete && body == good, "{} cut at {cut}", recording.name);
                    }
                    Fate::Good => is_cut(recording, cut, &ran, code, &good),
                    // The recording's own error, or that of the truncation.
                    Fate::Status(..) | Fate::Waiting(_) => {
                        let answer = Answer::read(&ran.wire);
                        assert!(answer.error().is_some(), "{} cut at {cut}", recording.name);
                    }
                }
            }
        }
    });
}

/// The rules do not change a clean answer.
#[test]
fn what_was_put_right_once_stays_as_it_is() {
    each(|table, recording| {
        if recording.fate() != Fate::Good || !recording.plan.stream {
            return;
        }
        let good = plain(&recording.whole(table).wire).1;
        let again = [
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".as_slice(),
            good.as_slice(),
        ];
        let ran = recording.run(table, &[&again.concat()], Ending::Eof);
        assert_eq!(show(&plain(&ran.wire).1), show(&good), "{}", recording.name);
    });
}

/// Members that describe the server are kept on every chunk; if only some chunks have them, our own usage chunk
/// has them too.
#[test]
fn the_servers_fingerprint_is_kept() {
    const KEY: &[u8] = b"\"system_fingerprint\":\"";
    each(|table, recording| {
        if recording.fate() != Fate::Good || !recording.plan.stream {
            return;
        }
        let count =
            |text: &[u8], what: &[u8]| text.windows(what.len()).filter(|w| *w == what).count();
        let (keys, chunks) = (count(&recording.raw, KEY), count(&recording.raw, b"\"object\":"));
        let answer = Answer::read(&recording.whole(table).wire);
        let tells = |event: &serde_json::Value| event["system_fingerprint"].is_string();
        if keys > 0 && keys == chunks {
            assert!(answer.events.iter().all(tells), "{}", recording.name);
        }
        if recording.plan.include_usage {
            let last = answer.events.last().expect("a chunk with the token counts");
            assert_eq!(tells(last), keys > 0, "{}", recording.name);
        }
    });
}

const REASON: &[u8] = b"\"finish_reason\":\"";

/// Some servers, none of them recorded here, end a stream by closing the connection. Then the framing does not show
/// a truncation: the end is an error until every choice has its finish reason, and complete after that, with or
/// without `[DONE]`.
#[test]
fn without_framing_a_cut_before_the_last_finish_reason_is_an_error() {
    each(|table, recording| {
        if recording.fate() != Fate::Good || !recording.plan.stream {
            return;
        }
        let head = naive::find(&recording.raw, b"\r\n\r\n").expect("a head") + 4;
        let (text, _) = naive::dechunk(&recording.raw[head..]).expect("chunked");
        let mut raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
        let head = raw.len();
        raw.extend_from_slice(&text);
        let good = recording.run(table, &[&raw], Ending::Eof);
        let good = plain(&good.wire).1;
        assert_eq!(good, plain(&recording.whole(table).wire).1);
        let expected = Answer::read(&recording.whole(table).wire);
        // The end of the line that holds the last finish reason.
        let last = text.windows(REASON.len()).rposition(|window| window == REASON);
        let last = last.expect("a finish reason");
        let terminal = head + last + text[last..].iter().position(|&b| b == b'\n').expect("a line");
        let done = naive::find(&raw, b"data: [DONE]").map_or(raw.len(), |at| at + 12);
        for cut in head..raw.len() {
            let ran = recording.run(table, &[&raw[..cut]], Ending::Eof);
            if cut < terminal {
                is_cut(recording, cut, &ran, "upstream_truncated", &good);
                continue;
            }
            let answer = Answer::read(&ran.wire);
            let error = answer.error();
            assert!(cut < done || error.is_none(), "{} cut at {cut}: {error:?}", recording.name);
            for choice in 0..u64::from(recording.plan.n) {
                assert_eq!(answer.content(choice), expected.content(choice), "{}", recording.name);
            }
            let ran = recording.run(table, &[&raw[..cut]], Ending::Lost);
            let broken = Answer::read(&ran.wire).error();
            assert!(cut > done || broken.is_some(), "{} lost at {cut}", recording.name);
        }
    });
}

fn recordings(table: &Table) -> Vec<Recording> {
    let recorded = support::recordings::all().into_iter();
    recorded.map(|recorded| recording(table, recorded)).collect()
}

fn recording(table: &Table, recorded: Recorded) -> Recording {
    let Recorded { name, body, raw } = recorded;
    let stream = naive::find(&body, b"\"stream\": true").is_some();
    let (plan, refused) = match Plan::make(table, &Chat, &body) {
        Ok(plan) => (plan, None),
        Err(error) => {
            let simple = json!({"model": INSTANT, "stream": stream,
                               "messages": [{"role": "user", "content": "hi"}]});
            let plan =
                Plan::make(table, &Chat, simple.to_string().as_bytes()).expect("a plain request");
            (plan, Some(error.code.name()))
        }
    };
    Recording { name, raw, plan, refused }
}
