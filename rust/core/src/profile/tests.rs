use serde_json::{Value, json};

use super::{ErrorReport, FAMILIES, GENERAL, Profile, read};

/// A message of a server's error on a client error, without a code.
fn says(message: &str) -> ErrorReport<'_> {
    ErrorReport { code: "", kind: "", message, is_server_fault: false }
}

#[test]
fn every_file_is_a_profile() {
    for (name, text) in FAMILIES {
        serde_json::from_str::<Profile>(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let profile = Profile::named(name).expect("a profile");
        let defaults = &profile.defaults;
        assert!(defaults.keep_alive > 0.0, "{name}");
        assert!(defaults.abort_hold >= 0.0, "{name}");
        assert!(defaults.abort_grace >= defaults.abort_hold, "{name}");
        for server in &profile.errors {
            for patterns in [&server.overflow, &server.full, &server.loading] {
                let prefixes = &patterns.prefixes;
                let texts = patterns.codes.iter().chain(prefixes).chain(&patterns.messages);
                // An empty text would match everything, and so would a number alone.
                assert!(texts.clone().all(|text| text.len() > 3), "{name}: {patterns:?}");
                assert!(prefixes.iter().all(|text| !text.starts_with('#')), "{name}");
            }
        }
    }
}

#[test]
fn every_file_in_the_folder_is_a_family() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/profile/families");
    let files = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let mut families = FAMILIES.map(|family| family.0);
    families.sort_unstable();
    assert_eq!(names, families);
}

#[test]
fn an_unknown_key_is_an_error_wherever_it_is() {
    let good: Value = serde_json::from_str(FAMILIES[0].1).expect("JSON");
    for place in ["", "/defaults", "/errors/0", "/errors/0/overflow"] {
        let mut file = good.clone();
        file.pointer_mut(place).expect("an object")["colour"] = json!(1);
        let error = serde_json::from_value::<Profile>(file).expect_err(place).to_string();
        assert!(error.contains("colour"), "{place}: {error}");
    }
}

#[test]
fn a_key_that_is_missing_is_an_error() {
    let good: Value = serde_json::from_str(FAMILIES[0].1).expect("JSON");
    for (place, key) in [
        ("", "defaults"),
        ("", "errors"),
        ("/defaults", "keep_alive"),
        ("/defaults", "abort_grace"),
        ("/defaults", "abort_hold"),
        ("/defaults", "stream_whole"),
        ("/errors/0", "server"),
    ] {
        let mut file = good.clone();
        let object = file.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
        object.remove(key).expect(key);
        assert!(serde_json::from_value::<Profile>(file).is_err(), "{place} {key}");
    }
}

#[test]
fn a_bad_file_is_told_and_not_passed_over() {
    let error = read(&[("a", "{}")]).expect_err("no profile");
    assert!(error.starts_with("profile a: "), "{error}");
    let mut file: Value = serde_json::from_str(FAMILIES[1].1).expect("JSON");
    file["errors_of"] = json!(["nobody"]);
    let error = read(&[("a", &file.to_string())]).expect_err("no family");
    assert_eq!(error, "errors_of: no profile nobody");
}

#[test]
fn a_name_that_is_no_family_is_told() {
    let error = Profile::named("vLLM").expect_err("no profile");
    assert_eq!(error, "no profile vLLM; there are openai, vllm, llamacpp");
}

/// Messages that say that a prompt is too long, and the one family besides the general whose they are.
const OVERFLOWS: [(&str, &str); 16] = [
    ("vllm", "This model's maximum context length is 2048 tokens. However, you requested 3000."),
    (
        "vllm",
        "You passed 31745 input tokens and requested 1024 output tokens. However, the model's context length is only 32768 tokens.",
    ),
    (
        "vllm",
        "You passed 200000 input characters. However, the model's context length is only 32768 tokens.",
    ),
    (
        "vllm",
        "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 2048 tokens.",
    ),
    ("vllm", "The decoder prompt (length 3000) is longer than the maximum model length of 2048."),
    ("vllm", "The prompt (total length 3000) is longer than the maximum model length of 2048."),
    ("llamacpp", "the request exceeds the available context size, try increasing it"),
    ("llamacpp", "request (20031 tokens) exceeds the available context size (2048 tokens)"),
    (GENERAL, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    (GENERAL, "Input length (9000 tokens) exceeds the maximum allowed length (8192 tokens)."),
    (GENERAL, "Requested token count exceeds the model's maximum context length of 8192 tokens."),
    (
        GENERAL,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens",
    ),
    (GENERAL, "Input validation error: `inputs` must have less than 4096 tokens. Given: 9000"),
    (GENERAL, "Requested tokens (9000) exceed context window of 2048"),
    (GENERAL, "Trying to keep the first 9000 tokens when context the overflows."),
    (
        GENERAL,
        "The number of tokens to keep from the initial prompt is greater than the context length.",
    ),
];

#[test]
fn a_message_is_known_to_its_own_family_and_to_the_general_one() {
    for (family, message) in OVERFLOWS {
        for (name, _) in FAMILIES {
            let profile = Profile::named(name).expect("a profile");
            let knows = profile.is_overflow(&says(message));
            assert_eq!(knows, name == family || name == GENERAL, "{name}: {message}");
        }
    }
    let general = Profile::named(GENERAL).expect("a profile");
    let prefixes = general.errors.iter().map(|server| server.overflow.prefixes.len());
    assert_eq!(prefixes.sum::<usize>(), OVERFLOWS.len(), "a pattern without a message here");
}

#[test]
fn codes_and_whole_messages_are_known_to_their_own_family_and_to_the_general_one() {
    type Says = fn(&Profile, &ErrorReport<'_>) -> bool;
    let of_code = |code| ErrorReport { code, kind: "", message: "", is_server_fault: false };
    let whole = |message| ErrorReport { is_server_fault: true, ..says(message) };
    let rows: [(&[&str], Says, ErrorReport<'_>); 9] = [
        (&["vllm"], Profile::is_overflow, of_code("context_length_exceeded")),
        (&["llamacpp"], Profile::is_overflow, of_code("exceed_context_size_error")),
        (&[], Profile::is_full, of_code("overloaded")),
        (&[], Profile::is_full, of_code("overloaded_error")),
        (&[], Profile::is_full, of_code("queue_full")),
        (&[], Profile::is_full, whole("Model is overloaded")),
        (&[], Profile::is_full, whole("The request queue is full.")),
        (&["llamacpp"], Profile::is_loading, of_code("unavailable_error")),
        (&["llamacpp"], Profile::is_loading, whole("Loading model")),
    ];
    for (families, says_so, report) in rows {
        for (name, _) in FAMILIES {
            let profile = Profile::named(name).expect("a profile");
            let knows = families.contains(&name) || name == GENERAL;
            assert_eq!(says_so(profile, &report), knows, "{name}: {report:?}");
        }
    }
}
