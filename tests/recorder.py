"""A backend that remembers every byte of every request."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.backend import MODELS, Backend, Peer, Script, answer, good

# The id of a request that a test sends to see how things stand; it is answered well, and not remembered.
PROBE = "probe"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Recorder(Backend):
    """Keeps the POST requests as they came, head and body."""

    def __init__(self) -> None:
        super().__init__(good)
        self.requests: list[bytes] = []

    def begin(self, script: Script) -> None:
        """Forget what came, and answer with this from now on."""
        self.script = script
        self.requests = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET "):
                writer.write(answer(MODELS))
                continue
            length = LENGTH.search(head)
            # Without a length what follows is read as the next head, and is remembered as such.
            body = await reader.readexactly(int(length[1])) if length else b"{}"
            peer = Peer(reader, writer, json.loads(body))
            if f"\r\nx-request-id: {PROBE}-".encode() in head:
                await good(peer)
                continue
            self.requests.append(head + body)
            await self.script(peer)


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    running = Recorder()
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
