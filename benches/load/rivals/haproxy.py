"""HAProxy, as Debian packages it: one thread, streams passed on as they come."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from peer import Peer

if TYPE_CHECKING:
    from pathlib import Path

# Without http-no-delay it holds back small pieces; without abortonclose it works on when a client has left.
CONFIGURATION = """\
global
    nbthread 1
    log stdout format raw local0

defaults
    mode http
    log global
    option httplog
    option http-no-delay
    option abortonclose
    http-reuse always
    timeout connect 5s
    timeout client 30m
    timeout server 30m
    timeout http-keep-alive 5m

frontend gateway
    bind 127.0.0.1:{port} backlog 4096
    default_backend engines

backend engines
    server engine 127.0.0.1:{backend}
"""


def program() -> str | None:
    # Debian puts it where only root's PATH looks.
    return shutil.which("haproxy", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def missing(_home: Path) -> str | None:
    return None if program() else "haproxy not found (apt-get install haproxy)"


def command(_home: Path, folder: Path, port: int, backend: int) -> list[str]:
    configuration = folder / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, backend=backend))
    return [program() or "haproxy", "-f", str(configuration)]


PEER = Peer(name="haproxy", note="HAProxy, the system's", command=command, missing=missing)
