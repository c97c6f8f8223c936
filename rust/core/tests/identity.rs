//! Who a request comes from, by its headers.

use penstock_admission::Tenant;
use penstock_core::client::{ClientConfig, ClientConnection, Step};
use penstock_core::identity::{IdentityHeaders, RequestAttributes, tenant_of};

fn headers() -> IdentityHeaders {
    IdentityHeaders {
        tenant: Some("X-Tenant".to_owned()),
        priority: Some("x-priority".to_owned()),
        sessions: vec!["x-session".to_owned(), "x-tenant".to_owned()],
    }
}

/// The attributes of a request with these header lines; `None`: the request is left to Python.
fn attributes(lines: &str, trusted: bool) -> Option<RequestAttributes> {
    let config = ClientConfig::new(16 << 10, 100, headers());
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{lines}content-length: 2\r\n\r\n{{}}"
    );
    match ClientConnection::new(0).step(&config, request.as_bytes(), trusted) {
        Step::Serve(_, attributes) => Some(attributes),
        Step::HandOver => None,
        other => panic!("{other:?}"),
    }
}

fn priority(value: &str) -> Option<RequestAttributes> {
    attributes(&format!("x-priority: {value}\r\n"), true)
}

#[test]
fn without_headers_nobody_in_particular() {
    assert_eq!(attributes("", true), Some(RequestAttributes::default()));
    assert_eq!(RequestAttributes::default().tenant, Tenant::UNKNOWN);
    assert_eq!(attributes("x-other: acme\r\n", true), Some(RequestAttributes::default()));
}

#[test]
fn a_tenant_is_its_name_whatever_the_case_of_the_header() {
    let acme = tenant_of(Some("acme"));
    for lines in ["x-tenant: acme\r\n", "X-TENANT:acme\r\n", "x-Tenant:  acme \r\n"] {
        assert_eq!(attributes(lines, true).map(|one| one.tenant), Some(acme), "{lines}");
    }
    assert_ne!(tenant_of(Some("ACME")), acme, "names are told apart by case");
    assert_ne!(acme, Tenant::UNKNOWN);
    assert_eq!(tenant_of(Some("")), Tenant::UNKNOWN);
}

#[test]
fn the_nearest_proxy_has_the_last_word() {
    let lines = "x-tenant: forged\r\nx-tenant: acme\r\n";
    let tenant = attributes(lines, true).expect("attributes").tenant;
    assert_eq!(tenant, tenant_of(Some("acme")));
}

#[test]
fn tenant_and_priority_count_only_from_a_trusted_peer() {
    let lines = "x-tenant: acme\r\nx-priority: high\r\nx-session: s\r\n";
    let trusted = attributes(lines, true).expect("attributes");
    let high = priority("high").expect("attributes").priority;
    assert_eq!((trusted.tenant, trusted.priority), (tenant_of(Some("acme")), high));
    let other = attributes(lines, false).expect("attributes");
    let nobody = RequestAttributes::default();
    assert_eq!((other.tenant, other.priority), (nobody.tenant, nobody.priority));
    assert_eq!(other.sessions, trusted.sessions, "sessions count from everybody");
    // An invalid priority is ignored if the client may not set one.
    assert!(attributes("x-priority: urgent\r\n", false).is_some());
}

#[test]
fn a_priority_is_one_of_three_words_in_any_case() {
    let of = |value: &str| priority(value).expect("attributes").priority;
    let normal = RequestAttributes::default().priority;
    for value in ["normal", "NORMAL", " Normal "] {
        assert_eq!(of(value), normal, "{value}");
    }
    assert_eq!(of("HIGH"), of("high"));
    assert!(of("high") < normal && normal < of("low"), "in order of urgency");
    for value in ["urgent", "high,low", "0"] {
        assert_eq!(priority(value), None, "{value}: aiohttp refuses it with the reason");
    }
}

#[test]
fn one_header_may_have_several_jobs() {
    let found = attributes("x-tenant: acme\r\nx-session: s1\r\n", true).expect("attributes");
    assert_eq!(found.tenant, tenant_of(Some("acme")));
    let session = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(found.sessions, [session("x-session", "s1"), session("x-tenant", "acme")]);
}

#[test]
fn long_names_are_cut_between_characters() {
    let long = "ä".repeat(200);
    assert_eq!(tenant_of(Some(&long)), tenant_of(Some(&"ä".repeat(128))));
    assert_ne!(tenant_of(Some(&long)), tenant_of(Some(&"ä".repeat(127))));
    let odd = format!("x{long}");
    assert_eq!(tenant_of(Some(&odd)), tenant_of(Some(&format!("x{}", "ä".repeat(127)))));
    let lines = format!("x-session: {}\r\n", "s".repeat(300));
    let found = attributes(&lines, true).expect("attributes");
    assert_eq!(found.sessions[0].1.len(), 256);
}

#[test]
fn an_unknown_priority_is_shown_shortened() {
    let resolved = headers().resolve(|name| (name == "x-priority").then_some("urgent"), true);
    let error = resolved.expect_err("no such priority");
    let message = error.message("x-priority", " URGENT ");
    assert_eq!(message, "x-priority is high, normal or low, not 'urgent'");
    let message = error.message("x-priority", &"y".repeat(1000));
    assert!(message.ends_with(&format!("not '{}'", "y".repeat(64))));
}
