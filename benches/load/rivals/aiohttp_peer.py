"""The plain aiohttp proxy of `aiohttp_proxy.py`, with the aiohttp and uvloop that Penstock itself has."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from peer import Peer

SCRIPT = Path(__file__).with_name("aiohttp_proxy.py")


def command(_home: Path, _folder: Path, port: int, backend: int) -> list[str]:
    return [sys.executable, str(SCRIPT), str(port), str(backend)]


PEER = Peer(
    name="aiohttp",
    note=f"plain proxy, aiohttp {version('aiohttp')}, uvloop {version('uvloop')}",
    command=command,
)
