use super::{BackendFailure, Code, Verdict};
use crate::profile::{GENERAL, Profile};

fn of_family(family: &str, status: u16, body: &str) -> Verdict {
    let profile = Profile::named(family).expect("a profile");
    BackendFailure::of_response(status, body.as_bytes()).verdict(profile, false)
}

fn verdict(status: u16, body: &str) -> Verdict {
    of_family(GENERAL, status, body)
}

fn code(verdict: &Verdict) -> Option<Code> {
    match verdict {
        Verdict::Client(error) => Some(error.code),
        _ => None,
    }
}

#[test]
fn the_prompt_is_too_long_in_the_words_of_current_vllm() {
    for message in [
        "You passed 31745 input tokens and requested 1024 output tokens. However, the model's context length is only 32768 tokens, resulting in a maximum input length of 31744 tokens.",
        "You passed 200000 input characters. However, the model's context length is only 32768 tokens.",
    ] {
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"BadRequestError","code":400}}}}"#);
        assert_eq!(code(&verdict(400, &body)), Some(Code::ContextLengthExceeded), "{message}");
    }
}

#[test]
fn the_clients_own_words_decide_nothing() {
    let words = [
        "overloaded",
        "the queue is full",
        "Model is overloaded",
        "The request queue is full.",
        "loading",
        "Loading model",
        "context length",
        "max_seq_len",
        "This model's maximum context length is 1 tokens",
        "unavailable_error",
        "context_length_exceeded",
    ];
    for word in words {
        // vLLM's form, FastAPI's, and an engine that says nothing but what it was sent.
        let bodies = [
            format!(
                r#"{{"error":{{"message":"1 validation error: {{'input': '{word}'}}","type":"Bad Request","code":400}}}}"#
            ),
            format!(r#"{{"detail":[{{"type":"float_parsing","input":"{word}"}}]}}"#),
            format!(r#"{{"error":"cannot read {word}"}}"#),
            format!("cannot read {word}"),
        ];
        for (status, body) in
            [400, 422].into_iter().flat_map(|s| bodies.iter().map(move |b| (s, b)))
        {
            assert_eq!(code(&verdict(status, body)), Some(Code::InvalidValue), "{status} {body}");
        }
        for body in &bodies {
            let is_fault = match verdict(503, body) {
                Verdict::Fault { status, .. } => status == 503 && body.starts_with('{'),
                Verdict::Unavailable { status, .. } => status == 503 && !body.starts_with('{'),
                _ => false,
            };
            assert!(is_fault, "{body}");
            assert!(matches!(verdict(500, body), Verdict::Fault { status: 500, .. }), "{body}");
        }
    }
    for message in ["Model is overloaded", "The request queue is full."] {
        assert_eq!(code(&verdict(400, message)), Some(Code::InvalidValue), "{message}");
    }
}

#[test]
fn who_has_answered_shows_in_how() {
    for (status, body, is_a_proxy) in [
        (502, "<html><head><title>502 Bad Gateway</title></head></html>", true),
        (503, "upstream connect error or disconnect/reset before headers", true),
        (503, "", true),
        (503, "Service Unavailable", true),
        (502, r#"{"message":"An invalid response was received from the upstream server"}"#, true),
        (504, "<h1>504 Gateway Time-out</h1>", false),
        (500, "Internal Server Error", false),
        (503, r#"{"error":"server busy, please try again"}"#, false),
        (503, r#"{"detail":"Worker is shutting down"}"#, false),
        (502, r#"{"object":"error","message":"x","type":"BadGateway","code":502}"#, false),
        (502, r#"{"error":{"message":"x","type":null,"param":"n","code":null}}"#, false),
    ] {
        let is_it = matches!(verdict(status, body), Verdict::Unavailable { .. });
        assert_eq!(is_it, is_a_proxy, "{status} {body}");
    }
}

#[test]
fn what_engines_say_is_understood() {
    for word in ["overloaded", "overloaded_error", "queue_full"] {
        let body = format!(r#"{{"error":"x","error_type":"{word}"}}"#);
        assert_eq!(verdict(503, &body), Verdict::Full);
    }
    assert_eq!(
        verdict(503, r#"{"object":"error","message":"The request queue is full."}"#),
        Verdict::Full
    );
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    assert_eq!(verdict(503, loading), Verdict::Loading);
    assert_eq!(verdict(429, ""), Verdict::Full);
    let busy = BackendFailure::of_response(503, br#"{"error":"the engine is currently busy"}"#);
    let general = Profile::named(GENERAL).expect("a profile");
    assert_eq!(busy.verdict(general, true), Verdict::Full);
    assert!(matches!(busy.verdict(general, false), Verdict::Fault { status: 503, .. }));
    let long = r#"{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequestError","code":400}"#;
    assert_eq!(code(&verdict(400, long)), Some(Code::ContextLengthExceeded));
}

#[test]
fn what_another_family_says_is_an_error_like_any_other() {
    let full = r#"{"error":"Model is overloaded","error_type":"overloaded"}"#;
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    let long =
        r#"{"error":{"message":"the request exceeds the available context size","code":400}}"#;
    assert!(matches!(of_family("vllm", 503, full), Verdict::Fault { status: 503, .. }));
    assert!(matches!(of_family("vllm", 503, loading), Verdict::Fault { status: 503, .. }));
    assert_eq!(code(&of_family("vllm", 400, long)), Some(Code::InvalidValue));
    assert_eq!(of_family("llamacpp", 503, loading), Verdict::Loading);
    assert_eq!(code(&of_family("llamacpp", 400, long)), Some(Code::ContextLengthExceeded));
    for family in ["vllm", "llamacpp"] {
        assert_eq!(of_family(family, 429, full), Verdict::Full, "{family}");
    }
}
