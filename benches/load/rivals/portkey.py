"""Portkey's gateway on Node.js, told by headers where the backend is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from peer import Peer

from rivals.package import Package, Registry

if TYPE_CHECKING:
    from pathlib import Path

# From 1.14.2 of @hono/node-server on, every request for a stream gets a 500 (its issue 1389).
PORTKEY = Package(
    Registry.NPM,
    "portkey",
    ("@portkey-ai/gateway@1.15.2", "@hono/node-server@1.14.1"),
    "node_modules/@portkey-ai/gateway/build/start-server.js",
)


def missing(home: Path) -> str | None:
    return PORTKEY.missing(home) if shutil.which("node") else "node not found (apt-get install nodejs npm)"


def command(home: Path, _folder: Path, port: int, _backend: int) -> list[str]:
    # Headless and production: without its page of recent requests, which keeps a copy of each.
    return ["env", "NODE_ENV=production", "node", str(PORTKEY.path(home)), "--headless", f"--port={port}"]


def headers(backend: int) -> dict[str, str]:
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{backend}/v1"}


PEER = Peer(
    name="portkey",
    note=f"Portkey, {PORTKEY.version}",
    command=command,
    missing=missing,
    install=PORTKEY.install,
    headers=headers,
)
