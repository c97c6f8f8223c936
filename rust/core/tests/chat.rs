//! Parsing of chat requests: which are refused, and with which message.

mod support;

use penstock_core::endpoint::{Chat, Endpoint, Parameter};
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::{Plan, Table};
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{INSTANT, THINKING, build, config, property, show, table};

const HI: &str = r#"[{"role":"user","content":"hi"}]"#;

/// A good request with further members.
fn with(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"model":"{INSTANT}","messages":{HI}{comma}{members}}}"#)
}

fn with_messages(messages: &str) -> String {
    format!(r#"{{"model":"{INSTANT}","messages":{messages}}}"#)
}

fn refused(table: &Table, body: &[u8]) -> ApiError {
    match Plan::make(table, &Chat, body) {
        Ok(_) => panic!("accepted: {}", show(body)),
        Err(error) => error,
    }
}

/// Body, status, code, param, message.
type Row = (String, u16, &'static str, Option<&'static str>, &'static str);

fn rows() -> Vec<Row> {
    let json = |body: &str, message| (body.to_owned(), 400, "invalid_json", None, message);
    let value =
        |members: &str, param, message| (with(members), 400, "invalid_value", Some(param), message);
    let messages = |text: &str, param, message| {
        (with_messages(text), 400, "invalid_value", Some(param), message)
    };
    let mut rows = vec![
        // Malformed.
        json("", "the request body is not valid JSON: the text ends too early at byte 0"),
        json("   ", "the request body is not valid JSON: the text ends too early at byte 3"),
        json("hello", "the request body is not valid JSON: unexpected character at byte 0"),
        json("{", "the request body is not valid JSON: the text ends too early at byte 1"),
        json(
            r#"{"model":"#,
            "the request body is not valid JSON: the text ends too early at byte 9",
        ),
        json(
            r#"{"model":"a",}"#,
            "the request body is not valid JSON: unexpected character at byte 13",
        ),
        json(
            r#"{"model":"a"} {}"#,
            "the request body is not valid JSON: text after the value at byte 14",
        ),
        json(r#"{"a":01}"#, "the request body is not valid JSON: bad number at byte 6"),
        json(
            r#"{"a":"\x"}"#,
            "the request body is not valid JSON: bad escape in a string at byte 6",
        ),
        json(
            "{\"a\":\"\n\"}",
            "the request body is not valid JSON: control character in a string at byte 6",
        ),
        json("[]", "the request body must be a JSON object, not an array"),
        json("null", "the request body must be a JSON object, not null"),
        json("\"x\"", "the request body must be a JSON object, not a string"),
        json("1", "the request body must be a JSON object, not a number"),
        json("true", "the request body must be a JSON object, not a boolean"),
        // Missing, and null, which is the same.
        (
            format!(r#"{{"messages":{HI}}}"#),
            400,
            "missing_required_parameter",
            Some("model"),
            "missing required parameter: 'model'",
        ),
        (
            format!(r#"{{"model":null,"messages":{HI}}}"#),
            400,
            "missing_required_parameter",
            Some("model"),
            "missing required parameter: 'model'",
        ),
        (
            format!(r#"{{"model":"{INSTANT}"}}"#),
            400,
            "missing_required_parameter",
            Some("messages"),
            "missing required parameter: 'messages'",
        ),
        (
            with_messages("null"),
            400,
            "missing_required_parameter",
            Some("messages"),
            "missing required parameter: 'messages'",
        ),
        (
            "{}".to_owned(),
            400,
            "missing_required_parameter",
            Some("model"),
            "missing required parameter: 'model'",
        ),
        (
            with_messages("[{}]"),
            400,
            "missing_required_parameter",
            Some("messages[0].role"),
            "missing required parameter: 'messages[0].role'",
        ),
        (
            with_messages(r#"[{"role":"user"},{"content":"x"}]"#),
            400,
            "missing_required_parameter",
            Some("messages[1].role"),
            "missing required parameter: 'messages[1].role'",
        ),
        // Duplicate keys, escaped or not.
        (
            with(r#""seed":1,"seed":1"#),
            400,
            "duplicate_key",
            Some("seed"),
            "the key 'seed' appears twice",
        ),
        (
            with(r#""\u006dodel":"other""#),
            400,
            "duplicate_key",
            Some("model"),
            "the key 'model' appears twice",
        ),
        (
            with(r#""a/b":1,"a\/b":2"#),
            400,
            "duplicate_key",
            Some("a/b"),
            "the key 'a/b' appears twice",
        ),
        (
            with(r#""messages":[]"#),
            400,
            "duplicate_key",
            Some("messages"),
            "the key 'messages' appears twice",
        ),
        (
            with(r#""x":null,"x":null"#),
            400,
            "duplicate_key",
            Some("x"),
            "the key 'x' appears twice",
        ),
        // Counts.
        value(r#""n":0"#, "n", "'n' must be an integer from 1 to 128"),
        value(r#""n":129"#, "n", "'n' must be an integer from 1 to 128"),
        value(r#""n":-1"#, "n", "'n' must be an integer from 1 to 128"),
        value(r#""n":99999999999999999999"#, "n", "'n' must be an integer from 1 to 128"),
        value(r#""n":1.0"#, "n", "'n' must be an integer, not a fraction"),
        value(r#""n":"1""#, "n", "'n' must be an integer, not a string"),
        value(r#""max_tokens":0"#, "max_tokens", "'max_tokens' must be an integer at least 1"),
        value(r#""max_tokens":-1"#, "max_tokens", "'max_tokens' must be an integer at least 1"),
        value(
            r#""max_tokens":1.5"#,
            "max_tokens",
            "'max_tokens' must be an integer, not a fraction",
        ),
        value(
            r#""max_tokens":1e3"#,
            "max_tokens",
            "'max_tokens' must be an integer, not a fraction",
        ),
        value(
            r#""max_tokens":18446744073709551616"#,
            "max_tokens",
            "'max_tokens' must be an integer at least 1",
        ),
        value(
            r#""max_completion_tokens":0"#,
            "max_completion_tokens",
            "'max_completion_tokens' must be an integer at least 1",
        ),
        value(
            r#""max_completion_tokens":5,"max_tokens":0"#,
            "max_tokens",
            "'max_tokens' must be an integer at least 1",
        ),
        // Messages.
        messages("[]", "messages", "'messages' must hold at least one message"),
        messages("[ ]", "messages", "'messages' must hold at least one message"),
        messages("{}", "messages", "'messages' must be an array, not an object"),
        messages("\"hi\"", "messages", "'messages' must be an array, not a string"),
        messages("[null]", "messages[0]", "'messages[0]' must be an object, not null"),
        messages(r#"["hi"]"#, "messages[0]", "'messages[0]' must be an object, not a string"),
        messages(
            r#"[{"role":"user"},[]]"#,
            "messages[1]",
            "'messages[1]' must be an object, not an array",
        ),
        messages(
            r#"[{"role":null}]"#,
            "messages[0].role",
            "'messages[0].role' must be a string, not null",
        ),
        messages(
            r#"[{"role":1}]"#,
            "messages[0].role",
            "'messages[0].role' must be a string, not a number",
        ),
        value(
            r#""stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
            "'include_usage' must be a boolean, not a number",
        ),
        // Names.
        (
            format!(r#"{{"model":"gpt-9","messages":{HI}}}"#),
            404,
            "model_not_found",
            Some("model"),
            "the model 'gpt-9' does not exist; available models: alias-model, thinking-model",
        ),
        (
            format!(r#"{{"model":"","messages":{HI}}}"#),
            404,
            "model_not_found",
            Some("model"),
            "the model '' does not exist; available models: alias-model, thinking-model",
        ),
        (
            with(r#""chat_template":"x""#),
            400,
            "unsupported_parameter",
            Some("chat_template"),
            "'chat_template' is not accepted from clients",
        ),
        (
            with(r#""chat_template":null"#),
            400,
            "unsupported_parameter",
            Some("chat_template"),
            "'chat_template' is not accepted from clients",
        ),
    ];
    rows.push((
        format!(r#"{{"model":7,"messages":{HI}}}"#),
        400,
        "invalid_value",
        Some("model"),
        "'model' must be a string, not a number",
    ));
    rows
}

#[test]
fn bad_bodies() {
    let table = table();
    for (body, status, code, param, message) in rows() {
        let error = refused(&table, body.as_bytes());
        assert_eq!(
            (error.status(), error.code.name(), error.param.as_deref(), error.message.as_str()),
            (status, code, param, message),
            "{body}"
        );
        assert_eq!(error.retry_after_ms, None);
        let mut text = Vec::new();
        error.write(&mut text);
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(
            value,
            json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})
        );
    }
}

#[test]
fn wrong_types_name_their_field() {
    let table = table();
    let samples = [
        ("a boolean", "true"),
        ("a number", "1"),
        ("a string", "\"x\""),
        ("an object", "{}"),
        ("an array", "[]"),
    ];
    // Parameter, type in the message, and JSON types that are accepted.
    let fields: &[(&str, &str, &[&str])] = &[
        ("stream", "a boolean", &["a boolean"]),
        ("stream_options", "an object", &["an object"]),
        ("max_tokens", "an integer", &["a number"]),
        ("max_completion_tokens", "an integer", &["a number"]),
        ("n", "an integer", &["a number"]),
        ("temperature", "a number", &["a number"]),
        ("top_p", "a number", &["a number"]),
        ("frequency_penalty", "a number", &["a number"]),
        ("presence_penalty", "a number", &["a number"]),
        ("seed", "an integer", &["a number"]),
        ("stop", "a string or an array", &["a string", "an array"]),
        ("logprobs", "a boolean", &["a boolean"]),
        ("top_logprobs", "an integer", &["a number"]),
        ("logit_bias", "an object", &["an object"]),
        ("tools", "an array", &["an array"]),
        ("tool_choice", "a string or an object", &["a string", "an object"]),
        ("parallel_tool_calls", "a boolean", &["a boolean"]),
        ("response_format", "an object", &["an object"]),
        ("user", "a string", &["a string"]),
        ("chat_template_kwargs", "an object", &["an object"]),
    ];
    for &(field, wanted, good) in fields {
        for (kind, sample) in samples {
            // Escapes in a name are decoded first.
            for name in [field.to_owned(), format!("\\u{:04x}{}", field.as_bytes()[0], &field[1..])]
            {
                let body = with(&format!("\"{name}\":{sample}"));
                if good.contains(&kind) {
                    assert!(Plan::make(&table, &Chat, body.as_bytes()).is_ok(), "{body}");
                    continue;
                }
                let error = refused(&table, body.as_bytes());
                assert_eq!(error.code, Code::InvalidValue, "{body}");
                assert_eq!(error.param.as_deref(), Some(field), "{body}");
                assert_eq!(
                    error.message,
                    format!("'{field}' must be {wanted}, not {kind}"),
                    "{body}"
                );
            }
        }
        // Null counts as absent.
        assert!(
            Plan::make(&table, &Chat, with(&format!("\"{field}\":null")).as_bytes()).is_ok(),
            "{field}"
        );
    }
}

#[test]
fn bad_utf8_names_the_byte() {
    let table = table();
    for (bad, name) in [
        (&b"\xff"[..], "no lead byte"),
        (b"\xc3", "cut"),
        (b"\xc0\xaf", "overlong"),
        (b"\xed\xa0\x80", "a surrogate"),
        (b"\xf4\x90\x80\x80", "beyond the last character"),
    ] {
        let body = [b"{\"a\":\"xy", bad, b"\"}"].concat();
        let error = refused(&table, &body);
        assert_eq!(error.code, Code::InvalidJson, "{name}");
        assert_eq!(error.message, "the request body is not valid UTF-8 at byte 8", "{name}");
    }
}

#[test]
fn depth_is_refused_from_129_on() {
    let table = table();
    let nested = |depth: usize| {
        // The request's own object is the first level.
        let inner = depth - 1;
        with(&format!("\"x\":{}{}", "[".repeat(inner), "]".repeat(inner)))
    };
    assert!(Plan::make(&table, &Chat, nested(128).as_bytes()).is_ok());
    for depth in [129, 1_100, 200_000] {
        let error = refused(&table, nested(depth).as_bytes());
        assert_eq!((error.status(), error.code), (400, Code::InvalidJson));
        assert!(
            error.message.starts_with("the request body is nested deeper than 128 at byte "),
            "{}",
            error.message
        );
    }
    // The same inside the messages, and never closed.
    let deep = with_messages(&format!("[{{\"role\":\"user\",\"content\":{}", "[".repeat(1_100)));
    assert!(refused(&table, deep.as_bytes()).message.contains("nested deeper than 128"));
}

#[test]
fn a_request_is_read_whole() {
    let body = format!(
        r#" {{"n":3,"stream":true,"max_tokens":7,"max_completion_tokens":9,"model":"thinking\u002dmodel",
            "stream_options":{{"include\u005fusage":true,"x":[1]}},"tools":[{{"type":"function"}}],"messages":{HI},"seed":null}}"#
    );
    let request = Chat.read(body.as_bytes()).expect("a good request");
    assert_eq!(request.model, THINKING);
    assert!(request.stream && request.include_usage);
    assert_eq!((request.n, request.max_tokens), (3, Some(9)));
    assert_eq!(request.prompt.bytes, HI.len() + r#"[{"type":"function"}]"#.len());
    assert_eq!(request.prompt.media, 0);
    assert_eq!(request.members.len(), 9);
    assert!(
        request.get(Chat.parameter(b"seed")).is_none() && request.get(Parameter::Stream).is_some()
    );
    let plan = Plan::make(&table(), &Chat, body.as_bytes()).expect("a good request");
    assert_eq!((plan.tier, plan.model.as_str(), plan.n), (1, THINKING, 3));

    let least = with("");
    let request = Chat.read(least.as_bytes()).expect("a good request");
    assert!(!request.stream && !request.include_usage);
    assert_eq!((request.n, request.max_tokens), (1, None));
    for (members, asked) in [
        (r#""stream_options":{}"#, false),
        (r#""stream_options":{"include_usage":null}"#, false),
        (r#""stream_options":{"include_usage":false}"#, false),
        (r#""stream_options":{"include_usage":true}"#, true),
    ] {
        let body = with(members);
        assert_eq!(Chat.read(body.as_bytes()).expect("good").include_usage, asked, "{members}");
    }
}

/// Some decoders, such as Go's, ignore the case of names.
#[test]
fn names_that_differ_only_in_case_are_refused() {
    let known = "messages model stream stream_options max_tokens max_completion_tokens n best_of tools \
                 chat_template chat_template_kwargs seed top_logprobs temperature top_p frequency_penalty \
                 presence_penalty logprobs parallel_tool_calls logit_bias response_format user stop \
                 tool_choice";
    let table = table();
    let is_refused = |body: String, param: &str, meant: &str| {
        let error = refused(&table, body.as_bytes());
        assert_eq!((error.status(), error.code.name()), (400, "invalid_value"), "{param}");
        assert_eq!(error.param.as_deref(), Some(param));
        let name = param.rsplit('.').next().unwrap_or(param);
        assert_eq!(error.message, format!("'{name}' differs from '{meant}' only in case"));
    };
    for name in known.split(' ').filter(|name| !name.is_empty()) {
        let mut variants = vec![name.to_uppercase(), name[..1].to_uppercase() + &name[1..]];
        let last = name.len() - 1;
        variants.push(name[..last].to_owned() + &name[last..].to_uppercase());
        variants.extend(name.contains('s').then(|| name.replacen('s', "\u{17f}", 1)));
        variants.extend(name.contains('k').then(|| name.replacen('k', "\u{212a}", 1)));
        for variant in variants {
            assert_eq!(Chat.parameter(variant.as_bytes()), Parameter::Other, "{variant}");
            // Independent of its value, and of whether the known name is present too.
            for value in ["1", "null", "[]", "\"x\""] {
                is_refused(with(&format!("\"{variant}\":{value}")), &variant, name);
                is_refused(with(&format!("\"seed\":1,\"{variant}\":{value}")), &variant, name);
            }
        }
    }
    is_refused(with(r#""\u004dodel":"x""#), "Model", "model");
    let options = |name: &str| with(&format!(r#""stream_options":{{"{name}":true}}"#));
    is_refused(options("Include_Usage"), "stream_options.Include_Usage", "include_usage");
    is_refused(
        options("include_u\u{17f}age"),
        "stream_options.include_u\u{17f}age",
        "include_usage",
    );
    let message = |name: &str| {
        with_messages(&format!(r#"[{{"role":"user","content":"x","{name}":"system"}}]"#))
    };
    is_refused(message("Role"), "messages[0].Role", "role");
    is_refused(message("CONTENT"), "messages[0].CONTENT", "content");

    // Similar names pass: other letters, longer names, unknown names.
    for name in ["mode", "models", "m\u{f6}del", "Top_K", "MIN_P", "Model2", "\u{17f}", "X"] {
        Plan::make(&table, &Chat, with(&format!("\"{name}\":1")).as_bytes()).expect(name);
    }
    let long = "M".repeat(1 << 20);
    Plan::make(&table, &Chat, with(&format!("\"{long}\":1")).as_bytes()).expect("a long name");
}

#[test]
fn names_that_differ_only_in_case_from_the_operators_own_are_refused() {
    let mut config = config();
    config["tiers"][0]["parameters"]["force"] = json!({"top_k": 5, "Odd_Key": 1, "temperature": 0});
    config["tiers"][0]["parameters"]["default"] = json!({"min_p": 0.1});
    let table = build(config);
    for (name, own) in
        [("Top_K", "top_k"), ("top_\u{212a}", "top_k"), ("odd_key", "Odd_Key"), ("MIN_P", "min_p")]
    {
        let error = refused(&table, with(&format!("\"{name}\":1")).as_bytes());
        assert_eq!((error.status(), error.code.name()), (400, "invalid_value"));
        assert_eq!(error.param.as_deref(), Some(name));
        assert_eq!(error.message, format!("'{name}' differs from '{own}' only in case"));
    }
    for name in ["top_k", "Odd_Key", "min_p", "temperature", "top_kk"] {
        Plan::make(&table, &Chat, with(&format!("\"{name}\":1")).as_bytes()).expect(name);
    }
}

/// A user's message of such parts.
fn with_parts(parts: &[Value]) -> String {
    json!({"model": INSTANT, "messages": [{"role": "user", "content": parts}]}).to_string()
}

#[test]
fn media_count_by_their_number_and_text_by_its_length() {
    let table = table();
    let size = |body: &str| {
        let prompt = Plan::make(&table, &Chat, body.as_bytes()).expect("a good request").prompt;
        (prompt.bytes, prompt.known)
    };
    let data = "iVBORw0KGgo".repeat(55_000);
    let text = json!({"type": "text", "text": "what is this?"});
    let (plain, none) = size(&with_parts(std::slice::from_ref(&text)));
    assert_eq!(none, 0);
    let url = format!("data:image/png;base64,{data}");
    let media = [
        json!({"type": "image_url", "image_url": {"url": url}}),
        json!({"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}}),
        json!({"image_url": url}),
        json!({"type": "input_image", "image_url": url}),
        json!({"type": "image", "image": data}),
        json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
        json!({"type": "audio_embeds", "audio_embeds": data}),
        json!({"type": "video_embeds", "video_embeds": data}),
        json!({"type": "prompt_embeds", "data": data}),
        json!({"type": "input_file", "file_data": data}),
        json!({"type": "audio_url", "audio_url": {"url": url}}),
        json!({"type": "video_url", "video_url": {"url": url}}),
        json!({"type": "file", "file": {"file_data": data}}),
    ];
    for part in &media {
        let (bytes, tokens) = size(&with_parts(&[text.clone(), part.clone()]));
        assert_eq!(tokens, 1024, "{}", show(part.to_string().as_bytes()));
        assert!((plain..plain + 64).contains(&bytes), "{bytes} bytes, {plain} without it");
    }
    let (bytes, tokens) = size(&with_parts(&media));
    assert_eq!(tokens, 1024 * media.len() as u64, "many add up");
    assert!(bytes < 600, "{bytes}");

    // Text counts as text wherever it is and whatever the part's `type` says.
    let long = "x".repeat(600_000);
    for part in [
        json!({"type": "text", "text": long}),
        json!({"type": "image_url", "text": long}),
        json!({"type": "image_url", "image_url": null, "text": long}),
        json!({"type": "refusal", "refusal": long}),
        json!(long),
        json!([{"image_url": long}]),
    ] {
        let (bytes, tokens) = size(&with_parts(&[part]));
        assert!(bytes > 600_000 && tokens == 0, "{bytes} bytes, {tokens} tokens");
    }
    let elsewhere = json!({
        "model": INSTANT,
        "messages": [{"role": "user", "content": "hi", "image_url": long},
                     {"role": "user", "content": {"image_url": long}}],
    });
    assert!(size(&elsewhere.to_string()).0 > 1_200_000);
}

#[test]
fn a_strict_tier_refuses_what_it_would_change() {
    let mut config = config();
    config["tiers"][0]["parameters"]["max_tokens"] = json!(100);
    let warned = build(config.clone());
    config["tiers"][0]["parameters"]["unsupported"] = json!("strict");
    let strict = build(config);
    for (members, param, message, warning) in [
        (
            r#""max_tokens":101"#,
            "max_tokens",
            "'max_tokens' is at most 100 here, not 101",
            "max_tokens=capped",
        ),
        (
            r#""max_completion_tokens":101"#,
            "max_completion_tokens",
            "'max_completion_tokens' is at most 100 here, not 101",
            "max_tokens=capped",
        ),
        (
            r#""max_tokens":1,"max_completion_tokens":101"#,
            "max_completion_tokens",
            "'max_completion_tokens' is at most 100 here, not 101",
            "max_tokens=capped",
        ),
        (
            r#""chat_template_kwargs":{"thinking":{}}"#,
            "chat_template_kwargs.thinking",
            "'chat_template_kwargs.thinking' is not accepted here",
            "chat_template_kwargs=dropped",
        ),
        (
            r#""chat_template_kwargs":{"evil":1}"#,
            "chat_template_kwargs.evil",
            "'chat_template_kwargs.evil' is not accepted here",
            "chat_template_kwargs=dropped",
        ),
    ] {
        let body = with(members);
        let error = refused(&strict, body.as_bytes());
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
        assert_eq!(error.message, message);
        let plan = Plan::make(&warned, &Chat, body.as_bytes()).expect("only warned");
        let warnings: Vec<&str> = plan.warnings.iter().map(|warning| warning.text()).collect();
        assert_eq!(warnings, [warning], "{body}");
    }
    for members in [r#""max_tokens":100"#, r#""chat_template_kwargs":{"thinking":true}"#, ""] {
        let plan = Plan::make(&strict, &Chat, with(members).as_bytes()).expect("nothing to change");
        assert!(plan.warnings.is_empty(), "{members}");
    }
}

/// Slots, choices, tools, prompt bytes and output limit of a request under a tier's parameters.
fn needs(parameters: &Value, members: &str) -> (u32, u32, bool, usize, Option<u64>) {
    let mut config = config();
    for (name, value) in parameters.as_object().expect("an object") {
        config["tiers"][0]["parameters"][name] = value.clone();
    }
    let plan = Plan::make(&build(config), &Chat, with(members).as_bytes()).expect("a good request");
    (plan.slots, plan.n, plan.tools, plan.prompt.bytes, plan.most_output())
}

#[test]
fn what_a_request_takes_is_read_from_what_is_sent() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let (_, _, _, bare, _) = needs(&json!({}), "");
    for (parameters, members, slots, n) in [
        (json!({}), "\"n\":3", 3, 3),
        (json!({"default": {"n": 8}}), "", 8, 8),
        (json!({"default": {"n": 2}, "force": {"chat_template": "x"}}), "", 2, 2),
        (json!({"default": {"n": 8}}), "\"n\":null", 8, 8),
        (json!({"default": {"n": 8}}), "\"n\":2", 2, 2),
        (json!({"force": {"n": 8}}), "\"n\":2", 8, 8),
        (json!({"force": {"n": 1}}), "\"n\":100", 1, 1),
        (json!({"force": {"n": null}}), "\"n\":100", 1, 1),
        (json!({"default": {"n": 8}, "force": {"n": null}}), "", 1, 1),
        (json!({"default": {"best_of": 5}}), "\"n\":2", 5, 2),
        (json!({"force": {"best_of": 5}}), "\"best_of\":9", 5, 1),
        (json!({"default": {"n": 2, "best_of": 3, "temperature": 1}}), "", 3, 2),
    ] {
        let (got_slots, got_n, ..) = needs(&parameters, members);
        assert_eq!((got_slots, got_n), (slots, n), "{parameters} {members}");
    }
    for parameters in [json!({"default": {"tools": tools}}), json!({"force": {"tools": tools}})] {
        let (_, _, has_tools, bytes, _) = needs(&parameters, "");
        assert_eq!((has_tools, bytes), (true, bare + tools.to_string().len()), "{parameters}");
    }
    let given = format!("\"tools\":{tools}");
    let (_, _, has_tools, bytes, _) = needs(&json!({"force": {"tools": null}}), &given);
    assert_eq!((has_tools, bytes), (false, bare), "a forced null takes them away");
    // The length limit applies to each sequence.
    let most = |parameters: &Value, members: &str| needs(parameters, members).4;
    assert_eq!(most(&json!({"default": {"n": 4}}), "\"max_tokens\":10"), Some(40));
    assert_eq!(most(&json!({"force": {"n": 4, "max_tokens": 5}}), "\"max_tokens\":10"), Some(20));
    assert_eq!(most(&json!({"max_tokens": 7}), "\"n\":2,\"max_tokens\":10"), Some(14));
}

#[test]
fn long_names_are_shown_short() {
    let table = table();
    let long = "ü".repeat(5_000);
    let error = refused(&table, with(&format!("\"{long}\":1,\"{long}\":2")).as_bytes());
    assert_eq!(error.param.map(|param| param.chars().count()), Some(64));
    let body = format!(r#"{{"model":"{long}","messages":{HI}}}"#);
    assert!(refused(&table, body.as_bytes()).message.chars().count() < 400);
}

/// Any input gives either a plan whose body is JSON, or a 4xx with the four keys.
fn sound(table: &Table, body: &[u8]) -> Result<(), TestCaseError> {
    match Plan::make(table, &Chat, body) {
        Ok(plan) => {
            prop_assert!((1..=128).contains(&plan.n));
            let mut out = Vec::new();
            Plan::write_model("served", &mut out);
            out.extend_from_slice(plan.tail());
            // The oracle cannot build a tree of depth 128, so it only checks the grammar.
            let text = std::str::from_utf8(&out).expect("UTF-8");
            let valid = serde_json::from_str::<&serde_json::value::RawValue>(text);
            let deep = support::naive::json_depth(&out) >= 127;
            prop_assert!(valid.is_ok() || deep, "{}", show(&out));
            prop_assert!(out.starts_with(b"{\"model\":\"served\","), "the model first");
        }
        Err(error) => {
            prop_assert!((400..500).contains(&error.status()), "{:?}", error);
            let mut out = Vec::new();
            error.write(&mut out);
            let value: Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(value["error"].as_object().map(serde_json::Map::len), Some(4));
        }
    }
    Ok(())
}

#[test]
fn no_body_makes_it_panic() {
    let mut config = config();
    config["tiers"][0]["parameters"] = json!({
        "default": {"max_tokens": 5, "temperature": 0.5}, "force": {"top_p": null, "response_format": {"type": "x"}},
        "max_tokens": 9, "unsupported": "warn", "allow": ["thinking"],
    });
    let table = build(config);
    let seeds: Vec<Vec<u8>> = [
        with(r#""stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":5"#),
        with(r#""chat_template_kwargs":{"thinking":true,"x":[1,{"a":"\ud800"}]},"response_format":{"type":"text"}"#),
        with(r#""top_p":1,"temperature":null,"tools":[{"a":1}],"\u0061":{},"stop":["\\","\""]"#),
        with_messages(r#"[ {"role" : "user","content":[{"type":"text","text":"é😀"}]} , {"role":"tool"} ]"#),
        with(&format!("\"x\":{}1{}", "[".repeat(126), "]".repeat(126))),
    ]
    .map(String::into_bytes)
    .to_vec();
    let byte = prop_oneof![
        4 => prop::sample::select(b"{}[]\",:\\u0019-+.eEntfals \n\t".to_vec()),
        1 => any::<u8>(),
    ];
    let change =
        (any::<usize>(), prop_oneof![Just(0u8), Just(1), Just(2), Just(3)], byte, 0usize..12);
    let strategy = (prop::sample::select(seeds), prop::collection::vec(change, 0..5));
    property(20_000, &strategy, |(mut body, changes)| {
        for (at, what, byte, length) in changes {
            let at = at % body.len().max(1);
            match what {
                _ if body.is_empty() => body.push(byte),
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => {
                    body.drain(at..(at + length).min(body.len()));
                }
                _ => {
                    let part = body[at..(at + length).min(body.len())].to_vec();
                    body.splice(at..at, part);
                }
            }
        }
        sound(&table, &body)
    });
    property(3_000, &prop::collection::vec(any::<u8>(), 0..60), |body| sound(&table, &body));
}
