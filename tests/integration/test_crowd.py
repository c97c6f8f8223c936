"""A tenant that opens thousands of connections, each with a request."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from pathlib import Path

import pytest

from tests.backend import Peer, backend_of, whole
from tests.conftest import Raw, ask, post
from tests.serving import SECONDS, Instance, serving

CONNECTIONS = 10_000
AT_ONCE = 100
QUEUED = 64
LIMIT = 4


@pytest.fixture
def files() -> None:
    """Let this process have a file for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + 1000:
        pytest.skip(f"not run: this system allows {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CONNECTIONS + 1000), hard))


async def slow(peer: Peer) -> None:
    await asyncio.sleep(0.02)
    peer.send(whole())


async def crowd(instance: Instance, opening: asyncio.Semaphore, statuses: Counter[int]) -> Raw:
    """Open a connection, ask, and stay connected."""
    async with opening:
        raw = await instance.client()
        await raw.send(post(ask(), x_tenant="crowd"))
    statuses[(await raw.response()).status] += 1
    return raw


@pytest.mark.usefixtures("files")
async def test_a_tenant_with_ten_thousand_connections_is_refused_and_the_other_served(tmp_path: Path) -> None:
    async with backend_of(slow) as backend:
        config = f"""
access: {{tenant_header: x-tenant}}
trusted_proxies: [127.0.0.1]
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: {LIMIT}}}}}
tiers:
  instant: {{models: [fast], backends: [a], queue: {{wait: 60s, per_tenant: {{requests: {QUEUED}}}}}}}
"""
        async with serving(config, tmp_path) as instance:
            opening, statuses = asyncio.Semaphore(AT_ONCE), Counter[int]()
            tasks = [asyncio.create_task(crowd(instance, opening, statuses)) for _ in range(CONNECTIONS)]
            while statuses[429] < AT_ONCE:
                await asyncio.sleep(0.01)
            neighbour = await instance.client()
            while len(tasks) > sum(task.done() for task in tasks):
                assert (await neighbour.chat(ask(), x_tenant="small")).status == 200
            await asyncio.gather(*tasks)
            # Everyone was told, nobody was cut off, and the limit held.
            assert set(statuses) == {200, 429}
            assert statuses.total() == CONNECTIONS
            assert backend.peak == LIMIT
            async with asyncio.timeout(SECONDS):
                # The workers tell once a second.
                while (await instance.ask_admin("/admin/status")).value["connections"] != CONNECTIONS + 1:
                    await asyncio.sleep(0.1)
            sums = await instance.invariants()
            assert sums["queued"] + sums["running"] + sums["closing"] == 0
