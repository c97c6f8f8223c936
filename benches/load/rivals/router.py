"""What the routers of vLLM and SGLang have in common: they share an origin, and so the options used here."""

from __future__ import annotations

import socket

__all__ = ["router"]


def router(program: list[str], port: int, backend: int) -> list[str]:
    """The command that starts `program` in front of one worker.

    Round robin is their cheapest policy. The default one remembers prompts to choose between workers, of which there is
    one.
    """
    options = {
        "host": "127.0.0.1",
        "port": str(port),
        "worker-urls": f"http://127.0.0.1:{backend}",
        "policy": "round_robin",
        "worker-startup-check-interval": "1",
        "prometheus-host": "127.0.0.1",
        "prometheus-port": str(free_port()),
    }
    arguments = [word for option, value in options.items() for word in (f"--{option}", value)]
    # One thread for its runtime, which would else start one for each core.
    return ["env", "TOKIO_WORKER_THREADS=1", *program, *arguments]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
