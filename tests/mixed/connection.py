"""A client's connection, every byte of which is read strictly."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable

from tests.mixed.fault import Fault
from tests.mixed.reader import Answer, Reader

# Far more than any answer here takes.
SECONDS = 40.0


class Connection(asyncio.Protocol):
    """Sends requests and hands out answers, in order."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.fault: Fault | None = None
        self.is_lost = False
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        # We have left ourselves: how the connection ends is nobody's fault.
        self._has_left = False

    @classmethod
    async def open(cls, port: int, receive_buffer: int | None = None) -> Connection:
        """Connect. `receive_buffer`: bytes that the kernel holds for a client that does not read."""
        loop = asyncio.get_running_loop()
        plain = socket.socket()
        plain.setblocking(False)
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await loop.sock_connect(plain, ("127.0.0.1", port))
        _, connection = await loop.create_connection(cls, sock=plain)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.fault is None:
            try:
                self.reader.feed(data)
            except Fault as fault:
                self.fault = fault
                self.reset()
        self._changed.set()

    def eof_received(self) -> None:
        try:
            if self.fault is None and not self._has_left:
                self.reader.end()
        except Fault as fault:
            self.fault = fault

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and not self._has_left and self.fault is None:
            self.fault = Fault(f"expected no reset of the connection: {exc!r}, behind {self.reader.read} bytes")
        self.is_lost, self._transport = True, None
        self._changed.set()

    @property
    def is_ending(self) -> bool:
        """Whether the last answer was the last on this connection."""
        return self.reader.is_ending and not self.reader.answers

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def send_slowly(self, pieces: list[bytes], dice: random.Random, longest: float) -> None:
        """Send pieces with pauses of up to so many seconds between them."""
        for piece in pieces:
            self.send(piece)
            await asyncio.sleep(dice.random() * dice.choice((0, 0.1, 1)) * longest)

    async def answer(self) -> Answer:
        """Return the next whole answer.

        Raises:
            Fault: what came is none, or none has come.
        """
        await self.wait_for(lambda: bool(self.reader.answers))
        if self.fault is not None:
            raise self.fault
        if not self.reader.answers:
            raise Fault("expected an answer, not the end of the connection")
        return self.reader.answers.popleft()

    async def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until that holds, or nothing more can come.

        Raises:
            Fault: neither has happened in time.
        """
        try:
            async with asyncio.timeout(SECONDS):
                while not holds() and not self.is_lost and self.fault is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Fault(f"expected an answer or an end within {SECONDS:g} s, behind {self.reader.read} bytes") from None

    async def ended(self) -> None:
        """Wait until the other side has closed, having sent nothing more."""
        await self.wait_for(lambda: False)
        if self.fault is not None:
            raise self.fault
        if self.reader.answers:
            raise Fault(f"expected the end of the connection, not {self.reader.answers[0]!s}")

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def half_close(self) -> None:
        self._has_left = True
        if self._transport is not None:
            self._transport.write_eof()

    def close(self) -> None:
        self._has_left = True
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        self._has_left = True
        if self._transport is not None:
            plain = self._transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
