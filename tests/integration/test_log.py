"""A log that nobody reads keeps no request waiting, and what is lost of it is counted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from penstock.metrics.log import BUFFER_BYTES
from tests.backend import backend_of, good
from tests.conftest import Raw, ask
from tests.serving import SECONDS, free_port, get, penstock, serve

pytestmark = pytest.mark.once

CLIENTS = 16
# A line of the access log is longer than this; pipes hold less than the ring.
LINE_BYTES = 200
REQUESTS = 2 * BUFFER_BYTES // LINE_BYTES


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Raw]:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield raw
    finally:
        raw.abort()


async def ready(port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            with suppress(OSError):
                async with client(port) as raw:
                    if await get(raw, "/readyz") == 200:
                        return
            await asyncio.sleep(0.02)


async def dropped(admin: int) -> float:
    async with client(admin) as raw:
        await raw.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        page = (await raw.response()).body.decode()
    return float(page.partition("\npenstock_log_dropped_total ")[2].partition("\n")[0])


async def test_lines_that_nobody_reads_are_dropped_and_counted(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    async with backend_of(good) as backend:
        config = f"""
listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin}}}
workers: 1
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 64}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""
        ours, theirs = os.pipe()
        process = await penstock(*serve(config, tmp_path), folder=tmp_path, stdout=theirs)
        try:
            await ready(port)
            assert await dropped(admin) == 0

            async def customer() -> None:
                async with client(port) as raw:
                    for _ in range(REQUESTS // CLIENTS):
                        assert (await raw.chat(ask())).status == 200

            await asyncio.gather(*(customer() for _ in range(CLIENTS)))
            async with asyncio.timeout(SECONDS):
                # Told once a second.
                while not 0 < await dropped(admin) < REQUESTS:
                    await asyncio.sleep(0.1)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            os.close(ours)
            os.close(theirs)
