"""The router of vLLM: Rust, with one worker behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer import Peer

from rivals.package import Package, Registry
from rivals.router import router

if TYPE_CHECKING:
    from pathlib import Path

ROUTER = Package(Registry.PYPI, "vllm-router", ("vllm-router==0.1.17",), "bin/vllm-router")


def command(home: Path, _folder: Path, port: int, backend: int) -> list[str]:
    return router([str(ROUTER.path(home))], port, backend)


PEER = Peer(
    name="vllm-router",
    note=f"router of vLLM, {ROUTER.version}",
    command=command,
    missing=ROUTER.missing,
    install=ROUTER.install,
)
