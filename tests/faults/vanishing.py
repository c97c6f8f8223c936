"""Peers behind a wire that is pulled: `unshare --map-root-user --net python -m tests.faults.vanishing`.

It has a network namespace of its own, and gives its peers another one. It prints what it has waited for, or fails.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import uvloop

from penstock.app.service import Service
from penstock.config import load_text
from penstock.net import keepalive
from penstock.server import registry
from tests.backend import SSE_HEAD, Peer, backend_of
from tests.conftest import LANE, Gateway, Raw, ask, post

OURS, THEIRS, BACKEND_PORT = "10.9.0.1", "10.9.0.2", 8000
# What takes 30 s takes 3 s here. There is no other timer that could end anything within this time.
SECONDS = 30.0
# A backend that accepts and says nothing, and clients that send one request each.
PEERS = """
import json, socket, sys
backend = socket.create_server(("10.9.0.2", 8000))
port, requests = json.loads(sys.stdin.readline())
clients = []
for request in requests:
    clients.append(socket.create_connection(("10.9.0.1", port)))
    clients[-1].sendall(request.encode())
sys.stdin.read()
"""
CONFIG = f"""
listen: {OURS}:0
admin: {{listen: 127.0.0.1:0}}
access: {{allow_anonymous: true}}
lane: {LANE}
backends:
  near: {{url: "http://127.0.0.1:%d", serves: served, concurrency: 2}}
  far: {{url: "http://{THEIRS}:{BACKEND_PORT}", serves: served, concurrency: 2}}
tiers:
  near: {{profile: thinking, models: [near], backends: [near], queue: {{wait: 600s}}, timeouts: &timeouts {{
    connect: 5s, first_event: 600s, between_events: 600s, total: 600s}}}}
  far: {{profile: thinking, models: [far], backends: [far], timeouts: *timeouts}}
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True)


async def script(peer: Peer) -> None:
    """Say nothing, or a word from time to time."""
    if peer.body.get("stream"):
        peer.send(SSE_HEAD)
        while True:
            peer.event({"content": "a"})
            await asyncio.sleep(0.3)
    await asyncio.sleep(600.0)


async def until(gateway: Gateway, **wanted: int) -> None:
    """Wait for these sums of the gateway."""
    sums: dict[str, Any] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            while any(sums.get(name) != count for name, count in wanted.items()):
                await asyncio.sleep(0.02)
                sums = gateway.numbers["invariants"]
                assert sums["ok"]
            return
    raise AssertionError(f"{sums}, not {wanted}")


def main() -> None:
    """Pull the wire under a silent client, one that gets an answer, one that waits, and under a backend."""
    keepalive.IDLE_SECONDS, keepalive.INTERVAL_SECONDS, keepalive.PROBES = 1, 1, 2
    keepalive.VANISHED_SECONDS = 3
    registry.THOROUGH_ROUND = 1
    run("ip", "link", "set", "lo", "up")
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", 'echo; read _; exec "$0" -c "$1"', sys.executable, PEERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peers:
        assert peers.stdout is not None
        # Now it has its namespace.
        peers.stdout.readline()
        try:
            uvloop.run(pull(peers))
        finally:
            peers.kill()


async def pull(peers: subprocess.Popen[str]) -> None:
    assert peers.stdin is not None
    inside = ("nsenter", "--net", f"--target={peers.pid}", "ip")
    run("ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs", "netns", str(peers.pid))
    run("ip", "address", "add", f"{OURS}/24", "dev", "ours")
    run("ip", "link", "set", "ours", "up")
    run(*inside, "address", "add", f"{THEIRS}/24", "dev", "theirs")
    run(*inside, "link", "set", "theirs", "up")
    async with backend_of(script) as backend:
        service = Service(load_text(CONFIG % backend.port, "test.yaml"))
        await service.start()
        gateway = Gateway(service)
        try:
            requests = [post(ask(model="near", stream=stream)).decode() for stream in (False, True, False)]
            peers.stdin.write("\n" + json.dumps([gateway.port, requests]) + "\n")
            peers.stdin.flush()
            await until(gateway, running=2, queued=1)
            raw = Raw(*await asyncio.open_connection(OURS, gateway.port))
            await raw.send(post(ask(model="far")))
            await until(gateway, running=3, queued=1)
            began = asyncio.get_running_loop().time()
            run(*inside, "link", "set", "theirs", "down")
            answer = await asyncio.wait_for(raw.response(), SECONDS)
            assert (answer.status, answer.error["code"]) == (502, "upstream_reset"), answer
            print(f"the backend: {asyncio.get_running_loop().time() - began:.1f} s")
            await until(gateway, running=0, queued=0)
            print(f"the clients: {asyncio.get_running_loop().time() - began:.1f} s")
            # Who waited may have been granted the slot of who was silent, a moment before it was missed itself.
            ended = Counter[str]()
            for (outcome, _), count in gateway.requests().items():
                ended[outcome] += count
            assert ended == {"client_abort": 3, "upstream_error": 1}
            raw.abort()
        finally:
            await service.stop()


if __name__ == "__main__":
    main()
