"""Who may say which tenant and priority a request has."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from penstock._core import RequestAttributes
from penstock.config import load_text
from penstock.server.attributes import AttributeReader

BASE = """
backends: {a: {url: "http://127.0.0.1:1", serves: served, concurrency: 4}}
tiers:
  instant: {models: [fast], backends: [a], affinity: {header: x-chat}}
  thinking: {models: [slow], backends: [a]}
"""
HEADERS = "access: {tenant_header: x-tenant, priority_header: x-priority}\n"


class Transport:
    """A transport of which only the peer is known."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer

    def get_extra_info(self, name: str) -> Any:
        assert name == "peername"
        return self.peer


def headers(values: dict[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(values))


def resolved(**values: str) -> RequestAttributes:
    """Return what these headers come to from a trusted peer."""
    values = {name.replace("_", "-"): value for name, value in values.items()}
    return reader(HEADERS).lane_config.attributes(values, True)


def reader(text: str) -> AttributeReader:
    return AttributeReader(load_text(BASE + text, "test.yaml"))


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("10.1.2.3", 5), True),
        (("::ffff:10.1.2.3", 5, 0, 0), True),
        (("fd00::1%eth0", 5, 0, 0), True),
        (("11.1.2.3", 5), False),
        (("fe80::1", 5, 0, 0), False),
        ("", False),
        (None, False),
    ],
)
def test_only_trusted_proxies_count(peer: Any, trusted: bool) -> None:
    attributes = reader(HEADERS + "trusted_proxies: [10.0.0.0/8, 'fd00::/8']").read(
        headers({"x-tenant": "acme", "x-priority": "High "}), Transport(peer)
    )
    assert attributes == (resolved(x_tenant="acme", x_priority="high") if trusted else resolved())


def test_without_the_keys_no_header_counts() -> None:
    transport = Transport(("127.0.0.1", 5))
    assert reader("").read(headers({"x-tenant": "acme", "x-priority": "high"}), transport) == resolved()


def test_an_unknown_priority_of_a_trusted_proxy_is_an_error() -> None:
    trusting = reader(HEADERS + "trusted_proxies: [127.0.0.1]")
    with pytest.raises(ValueError, match="x-priority is high, normal or low, not 'urgent'"):
        trusting.read(headers({"x-priority": "Urgent"}), Transport(("127.0.0.1", 5)))
    assert trusting.read(headers({"x-priority": "Urgent"}), Transport(("127.0.0.2", 5))) == resolved()


def test_session_headers_are_hints_that_anyone_may_give() -> None:
    attributes = reader("").read(headers({"x-session-id": "s1", "x-chat": "c" * 300, "x-other": "o"}), None)
    assert attributes == resolved(x_chat="c" * 256, x_session_id="s1") != resolved(x_session_id="s1")


def test_an_empty_tenant_is_nobody() -> None:
    trusting = reader(HEADERS + "trusted_proxies: [127.0.0.1]")
    assert trusting.read(headers({"x-tenant": ""}), Transport(("127.0.0.1", 5))) == resolved()


def test_the_value_that_the_nearest_proxy_added_counts() -> None:
    both = CIMultiDictProxy(CIMultiDict([("x-tenant", "spoofed"), ("x-tenant", "acme")]))
    trusting = reader(HEADERS + "trusted_proxies: [127.0.0.1]\n")
    assert trusting.read(both, Transport(("127.0.0.1", 5))) == resolved(x_tenant="acme") != resolved()
