"""The scraper against servers on real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from penstock.config.settings import Backend, Url
from penstock.upstream.client import MAX_PAGE_BYTES
from penstock.upstream.gauges import Counted, EngineFamily, Facts, Gauges
from penstock.upstream.scraper import Scraper

from .log import Log
from .recorded import changed, page
from .server import Server, listening, until

ROUND = 0.02

VLLM = page("vllm-0.32.0", "metrics")


class Seen:
    """What the scraper handed on, and what it is told of our own traffic."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, str]] = []
        self.facts: list[tuple[int, Facts]] = []
        self.gauges: list[tuple[int, Gauges]] = []
        self.own: Callable[[int], int] = lambda _: 0
        self.log = Log()

    def count(self, index: int) -> int:
        return self.own(index)


@asynccontextmanager
async def scraping(*urls: Url, api_key: str | None = None) -> AsyncIterator[Seen]:
    seen = Seen()
    scraper = Scraper(
        [Backend(f"b{index}", url, 8, api_key=api_key) for index, url in enumerate(urls)],
        seen.log.logger,
        own=seen.count,
        report=lambda index, signal: seen.reports.append((index, signal)),
        facts=lambda index, facts: seen.facts.append((index, facts)),
        gauges=lambda index, gauges: seen.gauges.append((index, gauges)),
        round_seconds=ROUND,
    )
    scraper.start()
    try:
        yield seen
    finally:
        await scraper.stop()


async def test_a_recorded_vllm() -> None:
    server = Server()
    server.record("vllm-0.32.0", metrics="metrics", version="version", v1_models="models", props="props")
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: len(seen.facts) >= 2 and len(seen.gauges) >= 3)
    assert seen.facts[-1] == (0, Facts(EngineFamily.VLLM, version="0.32.0", kv_tokens=1048576, context=2048))
    assert seen.gauges[-1][1] == Gauges(0, 0, 0.0, 0, 586, 0, 807, Counted.STEP)
    assert seen.reports == []


async def test_a_recorded_llamacpp_is_asked_only_while_busy() -> None:
    server = Server()
    server.record("llama-server-b11549", metrics="metrics", props="props", slots="slots", info="info")
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: seen.facts)
        await asyncio.sleep(5 * ROUND)
        assert seen.gauges == []
        assert set(server.asked) == {"/props"}
        seen.own = lambda _: 1
        await until(lambda: len(seen.gauges) >= 3)
    assert seen.facts == [(0, Facts(EngineFamily.LLAMACPP, version="b0-unknown", slots=4, context=2048))]
    assert seen.gauges[0] == (0, Gauges(running=0, waiting=0, counted=Counted.NOW))
    assert "/slots" not in server.asked


async def test_a_server_without_pages_is_asked_rarely() -> None:
    server = Server()
    server.record("ollama-0.33", metrics="metrics", props="props")
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: server.asked["/metrics"] == 3)
        await asyncio.sleep(10 * ROUND)
    assert server.asked["/metrics"] == 3
    assert server.asked["/props"] == 1
    assert (seen.reports, seen.facts, seen.gauges) == ([], [], [])


async def test_foreign_traffic_is_reported_once() -> None:
    server = Server()
    server.pages = {"/metrics": changed(page("tgi-3.3.6", "metrics"), tgi_batch_current_size=5)}
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: 4
        await until(lambda: seen.reports)
        await asyncio.sleep(5 * ROUND)
    assert seen.reports == [(0, "foreign_traffic")]


async def test_what_starts_or_ends_during_a_scrape_is_own() -> None:
    """The page shows one request more than ours before or after it, never than both."""
    server, running, busy = Server(), 0, 0
    tgi = page("tgi-3.3.6", "metrics")

    def change(request: web.Request) -> None:
        nonlocal running, busy
        before, busy = busy, 0 if busy else 8
        running = max(before, busy)
        server.pages = {"/metrics": changed(tgi, tgi_batch_current_size=running)}

    server.answer = change
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: busy
        await until(lambda: len(seen.gauges) >= 20)
    assert {gauges.running for _, gauges in seen.gauges} == {8}
    assert seen.reports == []


async def test_preemptions_and_the_engine_queue() -> None:
    server, step = Server(), 0

    def count(request: web.Request) -> None:
        nonlocal step
        step += 1
        waiting = VLLM.replace(b'reason="capacity"} 0.0', b'reason="capacity"} 3.0')
        body = changed(waiting, num_preemptions_total=step, iteration_tokens_total_count=step, num_requests_running=5)
        server.pages = {"/metrics": body}

    server.answer = count
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: 8
        await until(lambda: len(seen.reports) >= 2)
        await asyncio.sleep(5 * ROUND)
    assert seen.reports == [(0, "preemptions"), (0, "engine_queue")]


async def test_gauges_that_a_new_version_renames() -> None:
    server = Server()
    server.pages = {"/metrics": VLLM, "/version": b'{"version":"0.32.0"}'}
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: 2
        await until(lambda: len(seen.gauges) >= 3)
        assert seen.reports == []
        server.pages["/metrics"] = VLLM.replace(b"num_requests_running", b"requests_running")
        await until(lambda: seen.reports)
    assert seen.reports == [(0, "gauges_missing")]
    assert seen.gauges[-1][1].running is None


async def test_metrics_switched_off_by_a_restart() -> None:
    server = Server()
    server.pages = {"/metrics": VLLM}
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: 2
        await until(lambda: len(seen.gauges) >= 3)
        server.pages = {}
        await until(lambda: seen.reports)
    assert seen.reports == [(0, "gauges_missing")]


async def test_facts_are_told_when_they_change() -> None:
    server = Server()
    server.pages = {"/metrics": VLLM}
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: len(seen.gauges) >= 5)
        assert seen.facts == [(0, Facts(EngineFamily.VLLM, kv_tokens=1048576))]
        server.pages = {"/metrics": VLLM.replace(b'kv_cache_size_tokens="1048576"', b'kv_cache_size_tokens="4096"')}
        await until(lambda: len(seen.facts) >= 2)
    assert [facts.kv_tokens for _, facts in seen.facts] == [1048576, 4096]


async def test_sglang_takes_its_load_from_the_loads_and_the_rest_from_the_metrics() -> None:
    # No recording: made by the documented form.
    server = Server()
    load = b'{"num_running_reqs":3,"num_waiting_reqs":1,"token_usage":0.5,"max_total_num_tokens":1000}'
    server.pages = {
        "/metrics": b"sglang:num_running_reqs 9\nsglang:num_queue_reqs 9\nsglang:num_retracted_requests_total 2\n",
        "/v1/loads": b'{"version":"0.5.19","loads":[' + load + b"]}",
    }
    async with listening(server) as url, scraping(url) as seen:
        seen.own = lambda _: 4
        await until(lambda: len(seen.gauges) >= 8)
    assert server.asked["/v1/loads?include=core"] >= 3
    assert seen.gauges[-1][1] == Gauges(3, 1, 0.5, preemptions=2, counted=Counted.NOW)
    assert seen.facts[-1][1] == Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=1000)
    assert seen.reports == []


@pytest.mark.parametrize("code", [500, 503, 429])
async def test_a_server_that_loads_is_asked_again_soon(code: int) -> None:
    server = Server()
    server.pages = {"/metrics": VLLM}
    server.statuses = {"/props": code}
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: server.asked["/props"] >= 10)
        assert seen.gauges == []
        server.statuses = {}
        await until(lambda: seen.gauges)


async def test_a_server_that_is_away_and_comes_back(tmp_path: Path) -> None:
    server = Server()
    server.pages = {"/metrics": VLLM}
    path = str(tmp_path / "engine")
    async with scraping(Url("unix", "localhost", 0, path=path)) as seen:
        await asyncio.sleep(3 * ROUND)
        async with listening(server, path):
            await until(lambda: seen.gauges)
        await asyncio.sleep(3 * ROUND)
        count = len(seen.gauges)
        async with listening(server, path):
            await until(lambda: len(seen.gauges) > count)
    assert seen.reports == []


async def test_a_server_that_does_not_answer_holds_up_no_other() -> None:
    silent, server, never = Server(), Server(), asyncio.Event()
    silent.answer = lambda _: never.wait()
    server.pages = {"/metrics": VLLM}
    async with listening(silent) as first, listening(server) as second, scraping(first, second) as seen:
        await until(lambda: len(seen.gauges) >= 20)
        # Its own limit is a second; by then it is asked anew, and not twice at once.
        await until(lambda: silent.asked["/props"] >= 2)
    assert {index for index, _ in seen.gauges} == {1}
    assert silent.most_open == 1


@pytest.mark.parametrize("size", [MAX_PAGE_BYTES, MAX_PAGE_BYTES + 1])
async def test_the_longest_page(size: int) -> None:
    server = Server()
    server.pages = {"/metrics": VLLM + b"#" * (size - len(VLLM))}
    async with listening(server) as url, scraping(url) as seen:
        await until(lambda: server.asked["/metrics"] >= 3)
        await asyncio.sleep(2 * ROUND)
    assert bool(seen.gauges) is (size == MAX_PAGE_BYTES)


async def test_how_it_asks() -> None:
    server = Server()
    server.pages = {"/base/metrics": VLLM}
    async with listening(server) as url:
        prefixed = dataclasses.replace(url, prefix="/base")
        async with scraping(prefixed, api_key="key") as seen:
            await until(lambda: seen.gauges)
    assert server.headers["authorization"] == "Bearer key"
    assert server.headers["accept-encoding"] == "identity"
    assert server.headers["host"] == f"127.0.0.1:{url.port}"
    assert all(path.startswith("/base/") for path in server.asked)


async def test_a_redirect_is_not_followed() -> None:
    server, other = Server(), Server()
    other.pages = {"/metrics": VLLM}
    async with listening(other) as elsewhere, listening(server) as url:

        def redirect(request: web.Request) -> None:
            raise web.HTTPFound(f"http://{elsewhere.host_header}{request.path}")

        server.answer = redirect
        async with scraping(url) as seen:
            await until(lambda: server.asked["/metrics"] >= 3)
            await asyncio.sleep(2 * ROUND)
    assert seen.gauges == []
    assert not other.asked


async def test_stopping_ends_everything() -> None:
    server, never = Server(), asyncio.Event()
    server.answer = lambda _: never.wait()
    async with listening(server) as url:
        async with scraping(url):
            await until(lambda: server.open == 1)
        asked = server.asked.total()
        await asyncio.sleep(5 * ROUND)
        assert server.asked.total() == asked


async def test_a_round_that_fails_is_told_and_not_the_last() -> None:
    server = Server()
    server.pages = {"/metrics": VLLM}

    def fail(index: int) -> int:
        seen.own = lambda _: 0
        raise ZeroDivisionError("nobody thought of this")

    async with listening(server) as url, scraping(url) as seen:
        seen.own = fail
        await until(lambda: seen.gauges)
    (line,) = seen.log.lines("watch_failed")
    assert (line["level"], line["backend"], line["watch"]) == ("error", "b0", "gauges")
    assert line["error"] == "ZeroDivisionError: nobody thought of this"
