"""Penstock itself, and the byte pipe that is the floor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from peer import Peer

__all__ = ["BINARIES", "PIPE", "penstock"]

ROOT = Path(__file__).parents[2]
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def penstock(workers: int = 1, lane: str = "on") -> Peer:
    """Return Penstock with everything on that it has: admission, metrics, normaliser, access log, probes."""

    def command(_: Path, folder: Path, port: int, backend: int) -> list[str]:
        config = folder / f"penstock-{workers}-{lane}.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{port + 1}}}\n"
            f"workers: {workers}\nlane: {lane}\nlimits: {{connections: 12000}}\nbackends:\n"
            f"  stub: {{url: 'http://127.0.0.1:{backend}', serves: served-model, concurrency: 12000}}\n"
            "tiers:\n  instant:\n    models: [instant-model]\n    backends: [stub]\n"
            "    timeouts: {first_event: 120s, between_events: 120s, total: 3600s}\n"
            # No service level: what is measured is the way through, not who is refused.
            "    slo: {first_token: 60s}\n    queue: {requests: 20000, wait: 60s}\n"
        )
        return [str(Path(sys.executable).parent / "penstock"), "serve", "-c", str(config)]

    name = "penstock" if (workers, lane) == (1, "on") else f"penstock, {workers} workers, lane {lane}"
    # Control would take workers that stood still for stuck ones.
    return Peer(name, f"{workers} worker(s), lane {lane}", command, patient=False)


def pipe(_: Path, __: Path, port: int, backend: int) -> list[str]:
    """Return the command of the byte pipe."""
    return [str(BINARIES / "pipe"), "--port", str(port), "--backend", str(backend)]


PIPE = Peer("pipe", "copies bytes, nothing else", pipe)
