"""Penstock as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import LANE, Raw, Response

SECONDS = 20.0
TOKEN = "the-admin-token"


@dataclass
class Instance:
    """A running Penstock with all its processes."""

    process: asyncio.subprocess.Process
    port: int
    admin: int
    # The log, line by line; every line must be whole.
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: bytes = b""
    opened: list[Raw] = field(default_factory=list)

    async def client(self, port: int | None = None) -> Raw:
        """Open a connection; it is closed in the end."""
        self.opened.append(Raw(*await asyncio.open_connection("127.0.0.1", port or self.port, limit=1 << 24)))
        return self.opened[-1]

    async def ask_admin(self, path: str, token: str = TOKEN) -> Response:
        """Ask the admin listener on a new connection."""
        raw = await self.client(self.admin)
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        await raw.send(head.encode())
        response = await raw.response()
        raw.close()
        return response

    async def invariants(self) -> dict[str, int]:
        """Return the conservation sums; they must hold."""
        response = await self.ask_admin("/admin/invariants")
        assert response.status == 200, response.body
        sums: dict[str, int] = response.value
        return sums

    async def ready(self) -> None:
        """Wait until /readyz says so."""
        async with asyncio.timeout(SECONDS):
            while not await self._is_ready():
                assert self.process.returncode is None, self.errors
                await asyncio.sleep(0.02)

    async def _is_ready(self) -> bool:
        try:
            raw = await self.client()
        except OSError:
            return False
        try:
            return await get(raw, "/readyz") == 200
        finally:
            raw.close()

    def children(self) -> set[int]:
        """Return the pids of the supervisor's children."""
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def workers(self) -> dict[int, int]:
        """Return the pids of the workers that are ready, by index."""
        ready = {line["worker"]: line["pid"] for line in self.lines if line["event"] == "worker_ready"}
        return {index: pid for index, pid in ready.items() if pid in self.children()}

    async def all_workers(self, count: int) -> dict[int, int]:
        """Wait until there are so many; return their pids."""
        async with asyncio.timeout(SECONDS):
            while len(workers := self.workers()) < count:
                await asyncio.sleep(0.02)
        return workers

    async def control(self, workers: int) -> int:
        """Wait until all children are there; return control's pid."""
        async with asyncio.timeout(SECONDS):
            while True:
                own = set((await self.all_workers(workers)).values())
                rest = self.children() - own
                if len(rest) == 1:
                    return rest.pop()
                await asyncio.sleep(0.02)

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many lines of this event are in the log."""
        async with asyncio.timeout(SECONDS):
            while len(found := [line for line in self.lines if line["event"] == event]) < count:
                await asyncio.sleep(0.02)
        return found

    async def greeted(self) -> None:
        """Wait until the banner is there, to the empty line that ends it."""
        async with asyncio.timeout(SECONDS):
            while b"\n\n" not in self.errors.partition(b"Try:")[2]:
                await asyncio.sleep(0.02)

    async def ends(self) -> int:
        """Wait until the supervisor has ended; return its exit code."""
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    async def all_ended(self) -> None:
        """Wait until every process that writes the log has ended."""
        await asyncio.wait_for(asyncio.shield(self._reading), SECONDS)

    def __post_init__(self) -> None:
        self._reading = asyncio.ensure_future(asyncio.gather(self._read_log(), self._read_errors()))

    async def _read_log(self) -> None:
        if self.process.stdout is None:
            return
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    async def _read_errors(self) -> None:
        if self.process.stderr is None:
            return
        while piece := await self.process.stderr.read(1 << 16):
            self.errors += piece


@asynccontextmanager
async def serving(config: str, folder: Path, *, workers: int = 2) -> AsyncIterator[Instance]:
    """Run `penstock serve` on free ports."""
    port, admin = free_port(), free_port()
    top = f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin}, token: {TOKEN}}}\nworkers: {workers}\n"
    async with running(
        *serve(f"{top}lane: {LANE}\n{config}", folder), port=port, admin=admin, folder=folder
    ) as instance:
        yield instance


@asynccontextmanager
async def running(*arguments: str, port: int, admin: int, folder: Path) -> AsyncIterator[Instance]:
    """Run a command that serves on these ports, from when it is ready; it is killed in the end if it still runs."""
    instance = Instance(await penstock(*arguments, folder=folder), port, admin)
    try:
        await instance.ready()
        yield instance
    finally:
        for raw in instance.opened:
            raw.abort()
        # Its session holds only what was started here.
        with suppress(ProcessLookupError):
            os.killpg(instance.process.pid, signal.SIGKILL)
        await instance.process.wait()
        await instance.all_ended()


def serve(text: str, folder: Path) -> tuple[str, ...]:
    """Return the arguments that serve a configuration."""
    file = folder / "penstock.yaml"
    file.write_text(text)
    return "serve", "-c", str(file)


async def penstock(*arguments: str, folder: Path, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """Start `penstock` in a session of its own; what it writes beside its output is below `folder`."""
    command = (sys.executable, "-m", "penstock", *arguments)
    env = {**os.environ, "NO_COLOR": "1", "XDG_RUNTIME_DIR": str(folder)}
    return await asyncio.create_subprocess_exec(
        *command, stdout=stdout, stderr=asyncio.subprocess.PIPE, env=env, start_new_session=True
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(raw: Raw, path: str) -> int:
    """Return the status of a GET."""
    await raw.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return (await raw.response()).status
