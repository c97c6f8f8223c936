"""Several kinds of clients at once on kept and pipelined connections, against several kinds of backends at once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.conftest import gateway_of
from tests.mixed.mix import CLIENTS, config_of, stage_of
from tests.mixed.stage import PATIENCE, SECONDS, Stage, seed_of
from tests.serving import serving

pytestmark = pytest.mark.timeout(SECONDS + PATIENCE + 60)


async def test_one_process() -> None:
    stage = stage_of(seed_of("one process"))
    async with stage.served(), gateway_of(config_of(stage)) as gateway:
        stage.port = gateway.port
        await stage.play(CLIENTS, SECONDS * 0.5, restarts="c")
        assert_sums(stage, await gateway.settled(10.0))
        assert_counted(stage, sum(gateway.requests().values()))
        assert gateway.numbers["permits_leaked"] == 0
    stage.assert_right()


async def test_two_workers(tmp_path: Path) -> None:
    stage = stage_of(seed_of("two workers"))
    async with stage.served(), serving(config_of(stage), tmp_path, workers=2) as instance:
        stage.port = instance.port
        await stage.play(CLIENTS, SECONDS * 0.25, restarts="c")
        async with asyncio.timeout(20):
            while (sums := await instance.invariants())["queued"] + sums["running"] + sums["closing"]:
                await asyncio.sleep(0.05)
        assert_sums(stage, sums)
        page = (await instance.ask_admin("/metrics")).body.decode()
        requests = re.findall(r"^penstock_requests_total\{.*\} ([0-9.e+]+)$", page, re.MULTILINE)
        assert_counted(stage, sum(map(float, requests)))
        assert "\npenstock_permits_leaked_total 0.0\n" in page
    stage.assert_right()
    assert b"Traceback" not in instance.errors
    assert not [line for line in instance.lines if line["level"] == "error" or line["event"] == "process_ended"]


def assert_sums(stage: Stage, sums: dict[str, int]) -> None:
    assert sums["ok"], sums
    if sums["arrived"] != sums["finished"] or sums["queued"] + sums["running"] + sums["closing"]:
        stage.book.fault("invariants", f"expected arrived = finished and nothing held, got {sums}")


def assert_counted(stage: Stage, total: float) -> None:
    """Every inference request counts once; of those whose client has left, the ones that were seen."""
    book = stage.book
    if not book.answered <= total <= book.posted:
        expected = f"{book.answered} (answered) to {book.posted} (sent)"
        book.fault("requests_total", f"expected {expected}, got {total}")
