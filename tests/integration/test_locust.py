"""Locust itself, with Penstock's user class, against simulated engines and a gateway."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from penstock.sim import INSTANT, SimServer
from tests.backend import SSE_HEAD, Peer, backend_of, chunk, config_of
from tests.conftest import gateway_of

FAULTS = Path(__file__).with_name("locust_faults.py")
BENCH = Path(__file__).parents[2] / "benches" / "locust"
EXIT_FAILURES = 1
MEASURED = {"TTFT": "µs", "inter-token": "µs", "end-to-end": "µs", "queue": "µs", "tokens/s": "1/s"}
ERRORS = {
    "status-429": "429 RateLimitError",
    "status-503-loading": "503 ServiceUnavailableError",
    "refuse": "no answer: HTTPConnectionClosed",
    "close-before-head": "no answer: HTTPConnectionClosed",
    "garbage-head": "no answer: HTTPParseError",
    "error-first-event": "error event: InternalServerError",
    "error-mid-stream": "error event: InternalServerError",
    "garbage-event": "malformed event",
    "no-finish-body": "no [DONE]",
    "json-for-stream": "no [DONE]",
    "eof-mid-stream": "no [DONE]",
    "truncated-body": "broken off: HTTPParseError",
    "reset-mid-stream": "broken off: ConnectionResetError",
    "stall-mid-stream": "broken off: TimeoutError",
}

LOCUSTFILE = """
from locust import task
from penstock.locust import StreamingUser

class Asker(StreamingUser):
    model = "fast"

    @task
    def ask(self):
        self.chat(headers={"x-session-id": "s"}, temperature=0)
        self.chat("Hello.", name="second", model="nowhere", max_tokens=5)
        self.environment.runner.quit()
"""

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]


class Run(NamedTuple):
    """How locust ended, and what it printed."""

    code: int
    output: str
    log: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What `--json` printed, by type and name."""
        return {f"{row['method']} {row['name']}": row for row in json.loads(self.output)}


async def run(*command: str | Path, **env: str) -> Run:
    """Run Python to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | env
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    print(errors.decode())
    assert process.returncode is not None
    return Run(process.returncode, output.decode(), errors.decode())


async def locust(file: Path, *arguments: str, **env: str) -> Run:
    """Run locust without its page."""
    return await run("-m", "locust", "-f", file, "--headless", *arguments, **env)


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


async def test_failures_are_counted_by_what_went_wrong(tmp_path: Path) -> None:
    server = SimServer(speed=INSTANT)
    host = f"http://127.0.0.1:{await server.start()}"
    try:
        ended = await locust(FAULTS, "-u", "1", "--host", host, "--csv", str(tmp_path / "run"))
    finally:
        await server.stop()
    assert ended.code == EXIT_FAILURES
    failures = {row["Name"]: (row["Error"], row["Occurrences"]) for row in table(tmp_path / "run_failures.csv")}
    assert failures == {name: (f"CatchResponseError('{error}')", "2") for name, error in ERRORS.items()}
    counts = {(row["Type"], row["Name"]): int(row["Request Count"]) for row in table(tmp_path / "run_rows.csv")}
    assert counts.pop(("", "Aggregated")) == 2 * len(ERRORS) + 4
    # A failed answer is in no row of times. The two that are good have 20 tokens, so 19 gaps, and come without a queue.
    expected = dict.fromkeys([("POST", name) for name in [*ERRORS, "good", "slow-body"]], 2)
    for name in ("good", "slow-body"):
        expected |= {(unit, f"{name} {row}"): 2 for row, unit in MEASURED.items() if row != "queue"}
        expected["µs", f"{name} inter-token"] = 2 * 19
    assert counts == expected


async def test_a_run_through_the_gateway() -> None:
    server = SimServer()
    config = f"""
backends: {{a: {{url: "http://127.0.0.1:{await server.start()}", concurrency: 2}}}}
tiers:
  instant: {{models: [instant-model], backends: [a], queue: {{wait: 30s}}}}
  thinking: {{models: [thinking-model], backends: [a], queue: {{wait: 30s}}}}
"""
    try:
        async with gateway_of(config) as gateway:
            ended = await locust(
                BENCH / "locustfile.py",
                *("-u", "5", "-r", "5", "-t", "5s", "--stop-timeout", "60", "--host", gateway.url, "--json"),
                *("--unique-prompts", "--max-tokens", "32"),
            )
            await gateway.settled()
            served = gateway.requests()
    finally:
        await server.stop()
    assert ended.code == 0
    rows = ended.rows
    assert set(served) == {("ok", "-D")}
    names = {name.removeprefix("POST ") for name in rows if name.startswith("POST ")}
    assert {"instant", "thinking"} <= names
    assert sum(rows[f"POST {name}"]["num_requests"] for name in names) == served["ok", "-D"]
    for name in names:
        requests = rows[f"POST {name}"]
        assert requests["num_failures"] == 0
        row = {label: rows[f"{unit} {name} {label}"] for label, unit in MEASURED.items()}
        for label in MEASURED.keys() - {"inter-token"}:
            assert row[label]["num_requests"] == requests["num_requests"]
        # First token and gaps together are no longer than the whole; the queue is a part of the first token.
        parts = row["TTFT"]["total_response_time"] + row["inter-token"]["total_response_time"]
        assert parts <= row["end-to-end"]["total_response_time"]
        assert row["queue"]["total_response_time"] < row["TTFT"]["total_response_time"]
        # Locust's own row is in milliseconds, and ends when the connection is free again.
        assert row["end-to-end"]["total_response_time"] / 1000 <= requests["total_response_time"]
    # Five users and two slots: somebody has waited, and not for less than an answer takes.
    assert max(rows[f"µs {name} queue"]["max_response_time"] for name in names) > 10_000
    # Locust itself rounds what is between 1,000 and 10,000 to hundreds, and the gaps of this engine are.
    gaps = {int(value) for name in names for value in rows[f"µs {name} inter-token"]["response_times"]}
    assert any(1_000 < gap < 10_000 and gap % 100 for gap in gaps)


async def test_the_gateways_errors_are_named_by_their_codes(tmp_path: Path) -> None:
    async def cut(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": ""})
        peer.event({"content": "hel"})
        await peer.writer.drain()
        peer.writer.close()

    file = tmp_path / "locustfile.py"
    file.write_text(LOCUSTFILE)
    async with backend_of(cut) as backend, gateway_of(config_of(backend)) as gateway:
        ended = await locust(file, "--host", gateway.url)
    assert ended.code == EXIT_FAILURES
    assert "POST chat: error event: upstream_truncated" in ended.log
    assert "POST second: 404 model_not_found" in ended.log


async def test_what_is_sent(tmp_path: Path) -> None:
    seen: list[tuple[Mapping[str, str], dict[str, Any]]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers, await request.json()))
        return web.Response(body=b"data: %b\n\ndata: [DONE]\n\n" % chunk({"content": "a"}, "stop"))

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    file = tmp_path / "locustfile.py"
    file.write_text(LOCUSTFILE)
    async with TestServer(app) as server:
        host = str(server.make_url(""))
        assert (await locust(file, "--host", host, "--prompt-words", "3")).code == 0
        options = ("--model", "other", "--max-tokens", "7", "--unique-prompts")
        assert (await locust(file, "--host", host, *options, PENSTOCK_API_KEY="sk-secret")).code == 0

    (headers, body), (_, second), (other_headers, other), (_, other_second) = seen
    assert body == {
        "model": "fast",
        "messages": [{"role": "user", "content": "the river takes"}],
        "max_tokens": 128,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert headers["accept"] == "text/event-stream"
    assert headers["accept-encoding"] == "identity"
    assert headers["x-session-id"] == "s"
    assert "authorization" not in headers
    assert second["messages"] == [{"role": "user", "content": "Hello."}]

    assert other_headers["authorization"] == "Bearer sk-secret"
    assert (other["model"], other["max_tokens"]) == ("other", 7)
    # What the locustfile says of one request goes before the command line.
    assert (second["model"], second["max_tokens"]) == ("nowhere", 5)
    assert (other_second["model"], other_second["max_tokens"]) == ("nowhere", 5)
    texts = [asked["messages"][0]["content"] for asked in (other, other_second)]
    tags = {text.split(" ")[0] for text in texts}
    assert len(tags) == 2
    assert texts[0].split(" ", 1)[1].startswith("the river takes")
    assert texts[1].split(" ", 1)[1] == "Hello."


async def test_the_penstock_of_the_bench_ends_with_the_run() -> None:
    """Without --host a simulated demo is started, asked and stopped."""
    ended = await run(BENCH / "run.py", "--headless", "-u", "2", "-t", "3s", "--stop-timeout", "60", "--json")
    assert ended.code == 0
    assert ended.rows["POST instant"]["num_requests"] > 0
    url = re.search(r"http://127\.0\.0\.1:(\d+)", ended.log)
    assert url is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url[1])))
