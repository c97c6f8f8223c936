"""The admin listener's connections: aiohttp's, with errors in our form and an end that waits for nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from penstock.net.answer import ReadyAnswer
from penstock.net.listener import BACKLOG
from penstock.net.malformed import malformed
from penstock.net.message import error_body, json_message
from penstock.net.private import RequestHandler

if TYPE_CHECKING:
    import socket

    from structlog.typing import FilteringBoundLogger

__all__ = ["AdminListener"]

IDLE_SECONDS = 75.0
# How long a client that was refused may go on with its body, so that it reads the answer.
LINGER_SECONDS = 2.0
# What a client may still take when everything else has ended; aiohttp's default is a minute.
CLOSE_SECONDS = 1.0


class AdminListener:
    """Start it with what it shall answer, and stop it."""

    def __init__(self, app: web.Application, listener: socket.socket, log: FilteringBoundLogger) -> None:
        self._app = web.AppRunner(app)
        self._listener = listener
        self._log = log
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Accept connections."""
        await self._app.setup()
        if self._app.server is None:
            raise RuntimeError("aiohttp has made no server")
        server = _Server(self._app.server, self._log)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Close everything; who is slow to send or to read is cut."""
        if self._runner is None:
            self._listener.close()
        else:
            await self._runner.cleanup()
        await self._app.cleanup()


class _Server(web.Server):
    """Hands requests to the application's server, on connections of our own."""

    def __init__(self, application: web.Server, log: FilteringBoundLogger) -> None:
        super().__init__(application.request_handler, request_factory=application.request_factory)
        self._log = log

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return _Connection(
            self,
            self._log,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            access_log=None,
            auto_decompress=False,
            logger=self._log,
        )


class _Connection(RequestHandler):
    __slots__ = ("_log",)

    def __init__(self, manager: web.Server, log: FilteringBoundLogger, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._log = log

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, or what a handler raised.

        The bytes are our own: aiohttp would take the broken request for HTTP/1.0, and name itself.
        """
        if status != 400:
            # aiohttp hands no exception on when it is a TimeoutError, but it is still being handled.
            self._log.error("admin_failed", path=request.path[:200], exc_info=True)
            status, body = 500, error_body("server_error", "internal_error", "internal error")
        else:
            code, text = malformed(exc)
            status, body = 431 if code == "head_too_large" else 400, error_body("invalid_request_error", code, text)
        return ReadyAnswer(json_message(status, body, None, keep_alive=False, http10=False), keep_alive=False)
