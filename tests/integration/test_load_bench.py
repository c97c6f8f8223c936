"""The benches' own tools: they count what is there, and they notice lies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import gateway_of

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
SECONDS = "0.5"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Build the tools."""
    subprocess.run(["cargo", "build", "--quiet", "-p", "penstock-load"], cwd=ROOT, check=True)


@contextmanager
def stub(*options: str) -> Iterator[int]:
    """Run the stub; its port."""
    with subprocess.Popen([BINARIES / "stub", *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def load(port: int, *options: str) -> dict[str, Any]:
    """Run the generator; what it has seen."""
    command = [BINARIES / "load", "--port", str(port), "--seconds", SECONDS, "--connections", "8", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("mode", ["closed", "open", "streams", "hold"])
def test_it_counts_what_is_there(mode: str) -> None:
    with stub("--events", "20") as port:
        seen = load(port, "--mode", mode, "--rate", "100", "--base", "0.2")
    assert seen["faults"] == {}
    if mode in ("closed", "open", "hold"):
        assert seen["answers"] > 0
    if mode in ("streams", "hold"):
        # Role, 20 pieces, finish reason and the end; those under way have fewer.
        assert 23 * seen["streams"] <= seen["events"] < 23 * (seen["streams"] + 9)
        assert seen["streams"] > 0


def test_an_open_loop_keeps_its_rate_whatever_comes_back() -> None:
    with stub("--delay-ms", "100") as port:
        seen = load(port, "--mode", "open", "--rate", "200", "--connections", "1")
    # One connection can do five in this time: the others are late, and are not forgotten.
    assert seen["answers"] < 10
    assert seen["answers"] + seen["under_way"] + seen["late"] in range(95, 105)
    assert seen["latency_us"]["max"] > 100_000


@pytest.mark.parametrize("lie", ["truncated", "no_done", "status", "garbage"])
@pytest.mark.parametrize("mode", ["closed", "streams"])
def test_it_notices_lies(lie: str, mode: str) -> None:
    with stub("--lie", lie) as port:
        seen = load(port, "--mode", mode)
    if (lie, mode) == ("no_done", "closed"):
        # Only a stream can lack its end.
        assert seen["faults"] == {}
        return
    fault = "no_completion" if (lie, mode) == ("garbage", "closed") else lie
    assert list(seen["faults"]) == [fault]
    assert seen["answers"] + seen["streams"] == 0


async def test_through_penstock() -> None:
    with stub("--events", "20") as backend:
        config = f"""
backends: {{a: {{url: "http://127.0.0.1:{backend}", serves: served-model, concurrency: 64}}}}
tiers: {{instant: {{models: [instant-model], backends: [a]}}}}
"""
        async with gateway_of(config) as gateway:
            for mode in ("closed", "streams"):
                seen = await asyncio.to_thread(load, gateway.port, "--mode", mode)
                assert seen["faults"] == {}
                assert seen["answers"] + seen["streams"] > 0
