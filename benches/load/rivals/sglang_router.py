"""The router of SGLang: Rust, with one worker behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer import Peer

from rivals.package import Package, Registry
from rivals.router import router

if TYPE_CHECKING:
    from pathlib import Path

ROUTER = Package(Registry.PYPI, "sglang-router", ("sglang-router==0.3.2",), "bin/sglang-router")


def command(home: Path, _folder: Path, port: int, backend: int) -> list[str]:
    return router([str(ROUTER.path(home)), "launch"], port, backend)


PEER = Peer(
    name="sglang-router",
    note=f"router of SGLang, {ROUTER.version}",
    command=command,
    missing=ROUTER.missing,
    install=ROUTER.install,
)
