"""Limits that are left to be found out, and that nobody has found."""

from __future__ import annotations

from typing import Any

from penstock.config.settings import Backend, Url
from penstock.upstream.unlimited import KV, Unlimited

from .log import Log

URL = Url("http", "127.0.0.1", 1)


def numbers(kv: int | None = None, state: str = "healthy") -> dict[str, Any]:
    """Return a backend's part of the snapshot, as far as it matters."""
    return {"state": state, "kv_tokens": {"used": 0, "limit": kv}}


def test_what_is_not_limited_is_said() -> None:
    auto = Backend("a", URL, 4, kv_tokens="auto", prefill_tokens="auto")
    unlimited = Unlimited([auto, Backend("b", URL, 4), Backend("c", URL, 4, kv_tokens=100)], Log().logger)
    assert unlimited.of(0, numbers()) == [KV]
    assert unlimited.of(0, numbers(kv=5)) == []
    assert unlimited.of(1, numbers()) == []
    assert unlimited.of(2, numbers(kv=100)) == []


def test_an_engine_that_does_not_tell_is_logged_once() -> None:
    log = Log()
    backends = [Backend(name, URL, 4, kv_tokens="auto") for name in "abc"]
    unlimited = Unlimited(backends, log.logger)
    unlimited.check([numbers(state="down"), numbers(), numbers()])
    assert log.written == [], "it may not have been asked yet"
    unlimited.check([numbers(), numbers(), numbers(kv=1000)])
    for _ in range(5):
        unlimited.check([numbers(state="down"), numbers(), numbers(kv=1000)])
        unlimited.check([numbers(), numbers(), numbers(kv=1000)])
    lines = [(line["event"], line["level"], line["backend"], line["reason"]) for line in log.written]
    assert lines == [("backend_unlimited", "warning", "b", KV)]
    unlimited.check([numbers(state="slow_start"), numbers(), numbers(kv=1000)])
    assert [line["backend"] for line in log.written] == ["b", "a"]
