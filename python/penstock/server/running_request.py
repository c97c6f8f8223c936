"""The request that the core is answering for one client connection of aiohttp's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock._core import RequestHandle
    from penstock.server.answer import CoreAnswer

__all__ = ["RunningRequest"]


class RunningRequest:
    """Passes what happens at the client on to the core, while there is such a request; without one it does nothing."""

    def __init__(self) -> None:
        self._handle: RequestHandle | None = None
        self._answer: CoreAnswer | None = None

    def begin(self, handle: RequestHandle | None, answer: CoreAnswer, *, is_paused: bool) -> None:
        """Take a request that the core has got; `handle` is None if it has refused it.

        `is_paused`: whether earlier output still waits for the client.
        """
        self._handle, self._answer = handle, answer
        if is_paused:
            self.pause()

    def end(self) -> None:
        """Forget the request: its answer is complete."""
        self._handle = self._answer = None

    def client_gone(self) -> None:
        """Tell the core that nobody reads the answer any more, and end the wait for it."""
        handle, answer = self._handle, self._answer
        self.end()
        if handle is not None:
            handle.gone()
        if answer is not None:
            answer.done(False)

    def pause(self) -> None:
        """Stop reading the backend: the client reads slower than its answer comes."""
        if self._handle is not None:
            self._handle.pause()

    def resume(self) -> None:
        """Read the backend again."""
        if self._handle is not None:
            self._handle.resume()
