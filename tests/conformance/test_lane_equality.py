"""The lane and aiohttp are two ways to the core: nobody outside can tell which one it was."""

from __future__ import annotations

import os
import random
from dataclasses import fields

import pytest

from tests.conformance.answers import config_of
from tests.conformance.corpus import written
from tests.conformance.generator import generated
from tests.observation import LANES, Observation, observe
from tests.recorder import recorder

pytestmark = pytest.mark.once

COUNT = 500


@pytest.mark.timeout(180)
async def test_500_requests_both_ways(capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("PENSTOCK_SEED", random.randrange(1 << 32)))
    with capfd.disabled():
        print(f"\n  seed {seed}")
    requests = written()
    requests += generated(seed, COUNT - len(requests))
    by_name = {request.name: request for request in requests}
    assert len(by_name) == COUNT
    async with recorder() as backend:
        config = config_of(backend.port)
        seen = {lane: await observe(lane, config, backend, requests, capfd) for lane in LANES}
    on_lane = {lane: sum(one.on_lane for one in seen[lane].values()) for lane in LANES}
    assert on_lane["on"] > COUNT // 2
    assert on_lane["off"] == 0
    pairs = ((name, seen["on"][name], seen["off"][name]) for name in by_name)
    unlike = [
        f"{name}: {by_name[name].sent[:2000]!r}\n{difference(on, off)}"
        for name, on, off in pairs
        if on != off or on.raised or off.raised
    ]
    assert not unlike, f"seed {seed}: {len(unlike)} of {COUNT} differ\n" + "\n\n".join(unlike[:20])


def difference(on: Observation, off: Observation) -> str:
    """Return what differs, field by field."""
    pairs = [(field.name, getattr(on, field.name), getattr(off, field.name)) for field in fields(on) if field.compare]
    return "\n".join(f"  {name}: on  {ours}\n  {name}: off {theirs}" for name, ours, theirs in pairs if ours != theirs)
