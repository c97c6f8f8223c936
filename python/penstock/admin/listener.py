"""The admin listener: aiohttp's connections, with errors in our form and a bounded time to close."""

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
# How long a refused client may go on sending its body, so that it can read the answer.
LINGER_SECONDS = 2.0
# How long a client may take to finish when Penstock ends; aiohttp's default is a minute.
CLOSE_SECONDS = 1.0


class AdminListener:
    """Serves an application on a listening socket, from `start` to `stop`."""

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
        """Close everything; clients that are slow to send or to read are cut off."""
        if self._runner is None:
            self._listener.close()
        else:
            await self._runner.cleanup()
        await self._app.cleanup()


class _Server(web.Server):
    """Makes our own connections, whose requests the application's server handles."""

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
        """Return the answer to a request that aiohttp could not parse, or whose handler raised.

        Its bytes are our own: aiohttp would treat a malformed request as HTTP/1.0, and add a header with its name.
        """
        if status != 400:
            # aiohttp passes no exception for a TimeoutError, but it is still the one being handled.
            self._log.error("admin_failed", path=request.path[:200], exc_info=True)
            status, body = 500, error_body("server_error", "internal_error", "internal error")
        else:
            code, text = malformed(exc)
            status, body = 431 if code == "head_too_large" else 400, error_body("invalid_request_error", code, text)
        return ReadyAnswer(json_message(status, body, None, keep_alive=False, http10=False), keep_alive=False)
