//! The fast path through the template gives the same output as the full rules.

use proptest::prelude::*;

use super::StreamNormaliser;
use crate::endpoint::Chat;
use crate::rules::{Asked, IdAndModel, StreamEvent, StreamFault, StreamRules};

fn normaliser(n: u32, include_usage: bool) -> StreamNormaliser<Chat> {
    StreamNormaliser::new(IdAndModel::new("chatcmpl-x", 7, "name"), Asked { n, include_usage })
}

/// Contents of JSON strings, valid and invalid.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z ]{0,40}",
        1 => Just(String::new()),
        1 => Just("\\n\\u00e9 \\\"".to_owned()),
        1 => Just("héllo 你好".to_owned()),
        1 => Just("\\x".to_owned()),
        1 => Just("a\",\"role\":\"assistant".to_owned()),
        1 => Just("a\",\"b\":\"c".to_owned()),
        1 => Just("tab\there".to_owned()),
        1 => Just("\\u12".to_owned()),
        1 => Just("ends in a backslash\\".to_owned()),
    ]
}

fn chunk() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        8 => Just("content"),
        1 => Just("reasoning_content"),
        1 => Just("tool_calls"),
        1 => Just("con\\u0074ent"),
    ];
    let role = prop_oneof![8 => Just(""), 1 => Just("\"role\":\"assistant\","), 1 => Just("\"role\":null,")];
    let finish = prop_oneof![
        8 => Just("null"), 1 => Just("\"\""), 1 => Just("\"stop\"")
    ];
    let rest = prop_oneof![
        8 => Just(""),
        1 => Just(",\"usage\":null"),
        1 => Just(",\"usage\":{\"prompt_tokens\":1}"),
        1 => Just(",\"error\":null"),
        1 => Just("\n,\"x\" : [1, 2]"),
    ];
    (key, role, text(), finish, rest, 0..3u32, 1..3u32).prop_map(
        |(key, role, text, finish, rest, index, created)| {
            format!(
                "{{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":\"m\",\
                 \"choices\":[{{\"index\":{index},\"delta\":{{{role}\"{key}\":\"{text}\"}},\
                 \"finish_reason\":{finish}}}]{rest}}}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_short_way_gives_what_the_long_way_gives(
        chunks in prop::collection::vec((chunk(), 1..4usize), 1..12),
        n in 1..3u32,
        include_usage: bool,
    ) {
        let (mut short, mut long) = (normaliser(n, include_usage), normaliser(n, include_usage));
        // Repeating a chunk makes the fast path likely.
        for (chunk, times) in &chunks {
            for _ in 0..*times {
                long.template.forget();
                let (mut a, mut b) = (Vec::new(), Vec::new());
                let (x, y) = (short.event(chunk.as_bytes(), &mut a), long.event(chunk.as_bytes(), &mut b));
                prop_assert_eq!(&x, &y, "{}", chunk);
                if x.is_ok() {
                    prop_assert_eq!(String::from_utf8_lossy(&a), String::from_utf8_lossy(&b));
                }
                prop_assert_eq!(short.counts(), long.counts());
                prop_assert_eq!(short.completeness(), long.completeness());
            }
        }
    }
}

#[test]
fn a_stream_of_one_shape_takes_the_short_way() -> Result<(), StreamFault> {
    let chunk = |text: &str| {
        format!(
            "{{\"id\":\"a\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}"
        )
    };
    let mut normaliser = normaliser(1, false);
    let mut out = Vec::new();
    for (at, text) in ["one", "two", "three \\\"", "four"].into_iter().enumerate() {
        let chunk = chunk(text);
        // The first gets a role; the second becomes the template.
        let is_short = normaliser.template.text_in(chunk.as_bytes()) == Some(text.as_bytes());
        assert_eq!(is_short, at > 1, "{text}");
        out.clear();
        assert_eq!(
            normaliser.event(chunk.as_bytes(), &mut out)?,
            StreamEvent::Chunk { meaningful: true }
        );
        assert!(String::from_utf8_lossy(&out).contains(&format!("\"content\":\"{text}\"")));
    }
    Ok(())
}
