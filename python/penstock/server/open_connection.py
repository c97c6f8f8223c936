"""The interface that aiohttp's and the lane's client connections give to the code that manages all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["OpenConnection"]


class OpenConnection(Protocol):
    """A client connection, whoever serves it."""

    @property
    def open_transport(self) -> asyncio.Transport | None:
        """The transport; None when it is closed or another protocol has it."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait in the transport; the kernel's buffer is not counted."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""

    @property
    def is_finishing(self) -> bool:
        """Whether a drain waits for it."""

    def force_close(self) -> None:
        """Close it when what is written has been sent."""

    def abort(self) -> None:
        """Close it at once; what was not sent is lost."""

    def sweep(self, now: float) -> None:
        """Refuse what takes too long; `now` is `time.monotonic()`. Called once a second."""
