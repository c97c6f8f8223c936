"""The prober against servers on real sockets: what it tells the segment and the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from penstock._core import Segment
from penstock.config import load_text
from penstock.config.routing import routing_json
from penstock.config.settings import Backend, Url
from penstock.upstream import probe
from penstock.upstream.probe import Prober

from .log import Log
from .server import Server, listening, until

TIERS = "tiers: {instant: {models: [fast], backends: [a]}}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(probe, "HEALTHY_SECONDS", 0.02)
    monkeypatch.setattr(probe, "DOWN_SECONDS", 0.02)
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.5)
    yield


def segment_of(serves: str | None = None) -> Segment:
    name = "" if serves is None else f", serves: {serves}"
    text = f"backends: {{a: {{url: 'http://127.0.0.1:1', concurrency: 4{name}}}}}\n{TIERS}"
    return Segment(routing_json(load_text(text, "test.yaml")), shared=False)


class Probed:
    """One backend, as the prober tells of it."""

    def __init__(self, segment: Segment, url: Url, serves: str | None, key: str | None) -> None:
        self.segment = segment
        self.log = Log()
        self.prober = Prober(segment, [Backend("a", url, 4, serves=serves, api_key=key)], self.log.logger)

    @property
    def known(self) -> tuple[str, str | None]:
        """State and name, as every process sees them."""
        backend = self.segment.snapshot()["backends"][0]
        return backend["state"], backend["serves"]

    @property
    def reason(self) -> str | None:
        return self.prober.probes[0].reason

    @property
    def failures(self) -> int:
        return self.prober.probes[0].failures


@asynccontextmanager
async def probing(
    url: Url, *, serves: str | None = None, key: str | None = None, segment: Segment | None = None
) -> AsyncIterator[Probed]:
    probed = Probed(segment or segment_of(serves), url, serves, key)
    probed.prober.start()
    try:
        yield probed
    finally:
        await probed.prober.stop()


def unix(path: Path) -> Url:
    return Url("unix", "localhost", 0, path=str(path))


def models(*names: str, **more: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name, **more} for name in names]}).encode()


def serving(*names: str) -> Server:
    server = Server()
    server.pages = {"/v1/models": models(*names)}
    return server


async def rounds(server: Server, count: int) -> None:
    """Let the prober go round so many times from here on."""
    asked = server.asked["/v1/models"]
    await until(lambda: server.asked["/v1/models"] >= asked + count + 1)


async def test_the_name_is_learned() -> None:
    async with listening(serving("one")) as url, probing(url) as probed:
        await until(lambda: probed.known == ("healthy", "one"))
    (line,) = probed.log.written
    assert (line["event"], line["backend"], line["serves"]) == ("backend_up", "a", "one")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (models(), 200, "serves 0 models (); give `serves`"),
        (models("one", "two"), 200, "serves 2 models (one, two); give `serves`"),
        (b"<html>", 200, "GET /v1/models answers 200 without a list of models; give `serves`"),
        (b"[1]", 200, "GET /v1/models answers 200 without a list of models; give `serves`"),
        (b"", 404, "GET /v1/models answers 404 without a list of models; give `serves`"),
        (models("one"), 503, "answers 503: not ready"),
    ],
)
async def test_without_a_name_it_is_down(body: bytes, status: int, reason: str) -> None:
    server = Server()
    server.pages, server.statuses = {"/v1/models": body}, {"/v1/models": status}
    async with listening(server) as url, probing(url) as probed:
        await until(lambda: probed.reason == reason)
        assert probed.known == ("down", None)
        await rounds(server, 2)
        assert [line["reason"] for line in probed.log.lines("backend_down")] == [reason], "it is told once"


class Listening:
    """A segment, and what it is told of backends where nobody listens."""

    def __init__(self, segment: Segment) -> None:
        self.closed: list[int] = []
        self._segment = segment

    def note_closed(self, backend: int) -> None:
        self.closed.append(backend)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segment, name)


@pytest.mark.parametrize(("host", "is_closed"), [("127.0.0.1", True), ("no-such-name.invalid", False)])
async def test_that_nobody_listens_is_told(host: str, is_closed: bool) -> None:
    segment = Listening(segment_of("one"))
    async with probing(Url("http", host, 1), serves="one", segment=cast(Segment, segment)) as probed:
        await until(lambda: probed.known[0] == "down")
    assert set(segment.closed) == ({0} if is_closed else set())


async def test_without_a_name_it_is_down_before_the_first_probe() -> None:
    segment = segment_of()
    assert segment.states() == [("a", "down")]
    with pytest.raises(ValueError, match="the name of its model is not known"):
        segment.set_backend(0, "healthy")
    assert segment.states() == [("a", "down")]
    assert Probed(segment, Url("http", "127.0.0.1", 1), None, None).reason == "not probed yet"
    assert segment_of("one").states() == [("a", "unknown")]


@pytest.mark.parametrize(
    ("status", "key", "reason"),
    [
        (401, "wrong", "answers 401: the configured key is refused"),
        (403, "wrong", "answers 403: the configured key is refused"),
        (401, None, "answers 401: it wants an `api_key`"),
        (502, None, "answers 502: not ready"),
        (503, None, "answers 503: not ready"),
        (504, None, "answers 504: not ready"),
    ],
)
@pytest.mark.parametrize("serves", ["one", None])
async def test_a_server_that_refuses_us(status: int, key: str | None, reason: str, serves: str | None) -> None:
    server = serving("one")
    server.statuses = {"/v1/models": status}
    async with listening(server) as url, probing(url, serves=serves, key=key) as probed:
        await until(lambda: probed.reason == reason)
        assert (probed.known, probed.failures) == (("down", serves), 1), "its own word is enough"
        server.statuses = {}
        await until(lambda: probed.known == ("healthy", "one"))
        # One that was well may have a bad moment.
        server.statuses = {"/v1/models": status}
        await until(lambda: probed.failures == 2)
        assert probed.known == ("healthy", "one")
        await until(lambda: probed.known == ("down", "one"))
        assert probed.reason == reason


@pytest.mark.parametrize("status", [200, 301, 404, 405, 429, 500, 501])
async def test_a_server_without_a_list_is_there(status: int) -> None:
    server = Server()
    server.pages, server.statuses = {"/v1/models": b""}, {"/v1/models": status}
    async with listening(server) as url, probing(url, serves="mine") as probed:
        await until(lambda: probed.known == ("healthy", "mine"))
        assert probed.log.lines("backend_serves_unlisted") == []


@pytest.mark.parametrize("owner", ["vllm", "lmdeploy", "library"])
async def test_a_server_that_refuses_the_configured_name(owner: str) -> None:
    server = serving("mine")
    async with listening(server) as url, probing(url, serves="mine") as probed:
        await until(lambda: probed.known == ("healthy", "mine"))
        server.pages = {"/v1/models": models("other", "more", owned_by=owner)}
        await until(lambda: probed.known == ("down", "mine"))
        assert probed.reason == "serves other, more, not mine"
        server.pages = {"/v1/models": models("other", "mine", owned_by=owner)}
        await until(lambda: probed.known[0] in ("slow_start", "healthy"))


async def test_a_name_without_the_tag_that_is_implied() -> None:
    server = Server()
    server.pages = {"/v1/models": models("tiny:latest", owned_by="library")}
    async with listening(server) as url, probing(url, serves="tiny") as probed:
        await until(lambda: probed.known == ("healthy", "tiny"))


async def test_a_server_that_may_know_more_names_than_it_lists() -> None:
    """llama.cpp serves its model under any name: to refuse it would be an outage of our own."""
    server = Server()
    server.pages = {"/v1/models": models("file.gguf", owned_by="llamacpp")}
    async with listening(server) as url, probing(url, serves="mine") as probed:
        await rounds(server, 3)
        assert probed.known == ("healthy", "mine")
    (line,) = probed.log.lines("backend_serves_unlisted")
    assert (line["backend"], line["serves"], line["listed"]) == ("a", "mine", "file.gguf")


async def test_a_configured_name_stands_whatever_the_server_says() -> None:
    server = serving("other")
    async with listening(server) as url, probing(url, serves="mine") as probed:
        await until(lambda: probed.known == ("healthy", "mine"))
        server.pages = {}
        await rounds(server, 3)
        assert probed.known == ("healthy", "mine")


async def test_a_backend_that_goes_and_comes_back(tmp_path: Path) -> None:
    async with probing(unix(tmp_path / "engine")) as probed:
        async with listening(serving("one"), str(tmp_path / "engine")):
            await until(lambda: probed.known == ("healthy", "one"))
        await until(lambda: probed.failures == 1)
        assert probed.known[0] == "healthy", "one failure is no rule"
        await until(lambda: probed.known[0] == "down")
        assert probed.failures == 3
        assert (probed.reason or "").startswith("cannot connect")
        async with listening(serving("one"), str(tmp_path / "engine")):
            await until(lambda: probed.known[0] in ("slow_start", "healthy"))
    assert [line["event"] for line in probed.log.written] == ["backend_up", "backend_down", "backend_up"]


async def test_a_backend_that_requests_cannot_reach_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of("one")
    states = [("a", "healthy")]

    class Watched:
        """The segment, with a state that no request has to bring about."""

        def states(self) -> list[tuple[str, str]]:
            return states

        def __getattr__(self, name: str) -> object:
            return getattr(segment, name)

    server = serving("one")
    async with listening(server) as url, probing(url, serves="one", segment=cast("Segment", Watched())) as probed:
        await until(lambda: probed.known == ("healthy", "one"))
        monkeypatch.setattr(probe, "HEALTHY_SECONDS", 60.0)
        await asyncio.sleep(0.1)
        asked = server.asked["/v1/models"]
        await asyncio.sleep(0.2)
        assert server.asked["/v1/models"] == asked, "a steady one is left alone"
        states[0] = ("a", "ejected")
        await until(lambda: server.asked["/v1/models"] > asked)
        asked = server.asked["/v1/models"]
        await asyncio.sleep(0.2)
        assert server.asked["/v1/models"] == asked, "once for each time that it goes out"


async def test_a_restart_with_another_model(tmp_path: Path) -> None:
    async with probing(unix(tmp_path / "engine")) as probed:
        async with listening(serving("one"), str(tmp_path / "engine")):
            await until(lambda: probed.known == ("healthy", "one"))
        await until(lambda: probed.known[0] == "down")
        async with listening(serving("two"), str(tmp_path / "engine")):
            await until(lambda: probed.known[1] == "two")
    (line,) = probed.log.lines("backend_serves")
    assert (line["backend"], line["before"], line["now"]) == ("a", "one", "two")


async def test_a_restart_that_no_probe_has_seen() -> None:
    server = serving("one")
    async with listening(server) as url, probing(url) as probed:
        await until(lambda: probed.known == ("healthy", "one"))
        server.pages = {"/v1/models": models("two")}
        await until(lambda: probed.known == ("healthy", "two"))
    assert len(probed.log.lines("backend_serves")) == 1


async def test_a_name_stays_while_it_is_among_others() -> None:
    """An engine that loads adapters shows them beside its model."""
    server = serving("one")
    async with listening(server) as url, probing(url) as probed:
        await until(lambda: probed.known == ("healthy", "one"))
        server.pages = {"/v1/models": models("adapter", "one")}
        await rounds(server, 4)
        assert probed.known == ("healthy", "one")
        server.pages = {"/v1/models": models("adapter", "two")}
        await until(lambda: probed.known[0] == "down")
        assert probed.reason == "serves 2 models (adapter, two); give `serves`"


async def test_a_list_in_small_pieces() -> None:
    server = Server()

    async def drip(request: web.Request) -> None:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in models("one"):
            await response.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await response.write_eof()

    server.answer = drip
    async with listening(server) as url, probing(url) as probed:
        await until(lambda: probed.known == ("healthy", "one"))


async def test_a_new_life_begins_with_what_the_segment_knows(tmp_path: Path) -> None:
    """Control has died and was restarted while a backend was busy: that is not the backend's fault."""
    segment = segment_of()
    segment.set_backend(0, "healthy", "one")
    async with probing(unix(tmp_path / "engine"), segment=segment) as probed:
        assert probed.reason is None
        await until(lambda: probed.failures == 2)
        assert probed.known == ("healthy", "one")
        await until(lambda: probed.known == ("down", "one"))


async def test_a_new_life_does_not_ask_again_for_a_name() -> None:
    segment, server = segment_of(), Server()
    segment.set_backend(0, "healthy", "one")
    async with listening(server) as url, probing(url, segment=segment) as probed:
        await rounds(server, 4)
        assert probed.known == ("healthy", "one")


async def test_a_new_life_knows_who_is_down(tmp_path: Path) -> None:
    segment = segment_of()
    segment.set_backend(0, "healthy", "one")
    segment.set_backend(0, "down")
    async with probing(unix(tmp_path / "engine"), segment=segment) as probed:
        assert probed.reason == "not probed yet"
        await until(lambda: probed.failures == 1)
        assert probed.known == ("down", "one")
        assert probed.reason is not None
        assert probed.reason.startswith("cannot connect")
        # The life before has said so.
        assert probed.log.lines("backend_down") == []


async def test_a_backend_is_called_down_when_it_is(tmp_path: Path) -> None:
    """Of one that was never there requests may still find out; it is told once that it gets no more."""
    async with probing(unix(tmp_path / "engine"), serves="one") as probed:
        await until(lambda: probed.failures == 2)
        assert probed.log.lines("backend_down") == []
        await until(lambda: probed.failures >= 5)
        assert len(probed.log.lines("backend_down")) == 1


async def test_a_probe_that_fails_unexpectedly_is_not_the_last() -> None:
    class Failing:
        """The segment, whose lock cannot be had once."""

        def __init__(self) -> None:
            self.tries = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(segment, name)

        def set_backend(self, *found: Any) -> float | None:
            self.tries += 1
            if self.tries == 1:
                raise TimeoutError("the lock")
            return segment.set_backend(*found)

    segment = segment_of()
    async with listening(serving("one")) as url, probing(url, segment=Failing()) as probed:  # type: ignore[arg-type]
        await until(lambda: segment.states() == [("a", "healthy")])
    (line,) = probed.log.lines("watch_failed")
    assert (line["backend"], line["watch"], line["error"]) == ("a", "probe", "TimeoutError: the lock")
