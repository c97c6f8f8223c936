//! The access log: one line of JSON for each finished request.

use penstock_wire::decimal::{write_decimal, write_ms, write_three};
use penstock_wire::json::write_string;

use crate::exchange::{Record, Served};
use crate::openai::Code;
use crate::routing::Table;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// Appends the line of one request, without prompt, answer or API key. `unix`: nanoseconds
/// since 1970.
pub fn write_line(record: &Record, unix: Nanos, table: &Table, out: &mut Vec<u8>) {
    let Served { tier, model, backend } = record.served;
    let tier = tier.map_or("", |at| &table.tiers[usize::from(at)].name);
    let model = model.map_or("unknown", |at| &table.models[usize::from(at)]);
    let backend = backend.map_or("", |at| &table.backends[usize::from(at)].name);
    let letters = record.term.letters();
    let term = std::str::from_utf8(&letters).unwrap_or_default();
    out.extend_from_slice(b"{\"ts\":");
    write_decimal(unix / SECOND, out);
    out.push(b'.');
    write_three(unix % SECOND / MILLISECOND, out);
    // Ids, labels and numbers contain no character that JSON has to escape.
    let begin = b",\"level\":\"info\",\"event\":\"request\",\"request_id\":\"";
    write_word(begin, &record.request_id, out);
    write_word(b"\",\"upstream_id\":\"", record.upstream_id.as_deref().unwrap_or(""), out);
    write_name(b"\",\"tier\":", tier, out);
    write_name(b",\"model\":", model, out);
    write_name(b",\"variant\":\"\",\"backend\":", backend, out);
    write_word(b",\"outcome\":\"", record.outcome.name(), out);
    write_word(b"\",\"code\":\"", record.code.map_or("", Code::name), out);
    write_word(b"\",\"term\":\"", term, out);
    write_number(b"\",\"status\":", Some(u64::from(record.status)), write_decimal, out);
    write_number(b",\"attempts\":", Some(u64::from(record.attempts)), write_decimal, out);
    write_number(b",\"queue_ms\":", record.queued, write_ms, out);
    write_number(b",\"first_ms\":", record.first, write_ms, out);
    write_number(b",\"total_ms\":", Some(record.total), write_ms, out);
    write_number(b",\"prompt_tokens\":", record.prompt_tokens, write_decimal, out);
    write_number(b",\"output_tokens\":", record.output_tokens, write_decimal, out);
    out.extend_from_slice(b",\"key_id\":\"\"}\n");
}

/// Appends a name from the configuration, escaped. `key`: everything before the value.
#[inline]
fn write_name(key: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    write_string(value, out);
}

/// Appends a text that needs no escaping. `key` ends with the opening quote; the next key starts with the closing one.
#[inline]
fn write_word(key: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(value.as_bytes());
}

#[inline]
fn write_number(
    key: &[u8],
    number: Option<u64>,
    write: impl FnOnce(u64, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(key);
    match number {
        Some(number) => write(number, out),
        None => out.extend_from_slice(b"null"),
    }
}
