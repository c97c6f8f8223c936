//! The profiles of model servers: what a backend's `dialect` changes, and that the recorded errors of a
//! family are classified in the same way by its own profile as by the general one.

mod support;

use penstock_core::endpoint::Chat;
use penstock_core::openai::Code;
use penstock_core::routing::{Plan, RoutingConfig, Table};
use penstock_core::time::seconds;
use serde_json::{Value, json};

use support::client::Answer;
use support::drive::{Ending, run};
use support::{INSTANT, show};

/// The families with a profile of their own, and the folders of their recordings.
const RECORDED: [(&str, &str); 2] =
    [("vllm", "vllm-0.32.0/"), ("llamacpp", "llama-server-b11549/")];

/// The tests' table with all backends of one dialect.
fn table_of(dialect: &str) -> Table {
    let mut config = support::config();
    for backend in config["backends"].as_array_mut().expect("backends") {
        backend["dialect"] = json!(dialect);
    }
    support::build(config)
}

/// A table whose first backend has these keys.
fn table_with(keys: Value) -> Result<Table, String> {
    let mut config = support::config();
    let backend = config["backends"][0].as_object_mut().expect("a backend");
    for key in ["keep_alive", "abort_grace", "abort_hold", "stream_whole"] {
        backend.remove(key);
    }
    let Value::Object(keys) = keys else { panic!("an object") };
    backend.extend(keys);
    let config: RoutingConfig = serde_json::from_value(config).expect("a routing configuration");
    Table::build(config)
}

/// `keep_alive`, `abort_grace` and `abort_hold` in seconds, and `stream_whole`, as they are used.
fn used(keys: Value) -> (f64, f64, f64, bool) {
    let table = table_with(keys).expect("a table");
    let backend = &table.backends[0];
    let in_seconds = |nanos| nanos as f64 / seconds(1.0) as f64;
    (
        in_seconds(backend.keep_alive),
        in_seconds(backend.abort_grace),
        in_seconds(backend.abort_hold),
        backend.stream_whole,
    )
}

#[test]
fn what_the_configuration_does_not_set_comes_from_the_profile() {
    let general = (3.0, 0.25, 0.0, false);
    assert_eq!(used(json!({})), general);
    assert_eq!(used(json!({"dialect": null})), general);
    assert_eq!(used(json!({"dialect": "openai"})), general);
    assert_eq!(used(json!({"dialect": "vllm"})), (3.0, 0.25, 0.0, false));
    assert_eq!(used(json!({"dialect": "llamacpp"})), (3.0, 1.2, 0.0, false));
    let nulls = json!({"dialect": "llamacpp", "keep_alive": null, "abort_grace": null,
                       "abort_hold": null, "stream_whole": null});
    assert_eq!(used(nulls), (3.0, 1.2, 0.0, false));
}

#[test]
fn what_the_configuration_sets_is_above_the_profile() {
    let set = json!({"dialect": "llamacpp", "keep_alive": 1.0, "abort_grace": 0.5,
                     "abort_hold": 0.1, "stream_whole": true});
    assert_eq!(used(set), (1.0, 0.5, 0.1, true));
    // Zero is a value, too.
    let zero = json!({"dialect": "llamacpp", "abort_grace": 0.0});
    assert_eq!(used(zero), (3.0, 0.0, 0.0, false));
}

#[test]
fn the_grace_is_never_shorter_than_the_hold() {
    assert_eq!(used(json!({"abort_hold": 2.0})), (3.0, 2.0, 2.0, false));
    assert_eq!(used(json!({"abort_grace": 0.5, "abort_hold": 2.0})), (3.0, 2.0, 2.0, false));
    assert_eq!(used(json!({"dialect": "llamacpp", "abort_hold": 0.5})), (3.0, 1.2, 0.5, false));
}

#[test]
fn a_dialect_that_is_not_known_is_an_error() {
    let error = table_with(json!({"dialect": "nosuch"})).expect_err("no such dialect");
    assert!(error.starts_with("no profile nosuch"), "{error}");
}

#[test]
fn the_recordings_of_a_family_come_to_the_same_under_its_own_profile() {
    let general = table_of("openai");
    for (dialect, folder) in RECORDED {
        let own = table_of(dialect);
        let mut errors = 0;
        let of_family =
            |recorded: &support::recordings::Recorded| recorded.name.starts_with(folder);
        for recorded in support::recordings::all().into_iter().filter(of_family) {
            let plan = plan_of(&general, &recorded.body);
            let expected = run(&general, &plan, &[&recorded.raw], Ending::Eof);
            let got = run(&own, &plan, &[&recorded.raw], Ending::Eof);
            assert_eq!(show(&got.wire), show(&expected.wire), "{}", recorded.name);
            assert_eq!(got.failure, expected.failure, "{}", recorded.name);
            errors += usize::from(got.failure.is_some());
        }
        assert!(errors >= 5, "{dialect}: {errors} recorded errors");
    }
}

#[test]
fn recorded_errors_mean_something_only_to_their_own_family() {
    // Recording, its classification, and the families besides the general one that classify it so.
    let rows: [(&str, &str, &[&str]); 4] = [
        ("vllm-0.32.0/err-too-long", "context_length_exceeded", &["vllm"]),
        ("llama-server-b11549/err-too-long", "context_length_exceeded", &["llamacpp"]),
        ("tgi-3.3.6/err-too-long", "context_length_exceeded", &[]),
        ("tgi-3.3.6/err-too-long-stream", "context_length_exceeded", &[]),
    ];
    let recordings = support::recordings::all();
    for (name, meaning, families) in rows {
        let recorded = recordings.iter().find(|recorded| recorded.name == name).expect(name);
        for dialect in ["openai", "vllm", "llamacpp"] {
            let table = table_of(dialect);
            let plan = plan_of(&table, &recorded.body);
            let ran = run(&table, &plan, &[&recorded.raw], Ending::Eof);
            let error = Answer::read(&ran.wire).error().expect("an error");
            let knows = dialect == "openai" || families.contains(&dialect);
            let code = if knows { meaning } else { Code::InvalidValue.name() };
            assert_eq!(error.code, code, "{dialect}: {name}");
        }
    }
}

/// The recorded request's plan; a plain one, where Penstock refuses the request itself.
fn plan_of(table: &Table, body: &[u8]) -> Plan {
    let plain = json!({"model": INSTANT, "messages": [{"role": "user", "content": "hi"}]});
    Plan::make(table, &Chat, body)
        .or_else(|_| Plan::make(table, &Chat, plain.to_string().as_bytes()))
        .expect("a plan")
}
