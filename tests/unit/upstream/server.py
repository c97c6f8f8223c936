"""A server on a real socket that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from penstock.config.settings import Url

from .recorded import page, status

SECONDS = 5.0


class Server:
    """Answers GET as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.headers: Mapping[str, str] = {}
        self.open = 0
        self.most_open = 0
        self.answer: Callable[[web.Request], object] = lambda _: None

    async def handle(self, request: web.Request) -> web.Response:
        self.asked[request.path_qs] += 1
        self.headers = request.headers
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            answer = self.answer(request)
            if asyncio.iscoroutine(answer):
                await answer
        finally:
            self.open -= 1
        assert request.method == "GET"
        code = self.statuses.get(request.path, 200 if request.path in self.pages else 404)
        return web.Response(status=code, body=self.pages.get(request.path, b""))

    def record(self, server: str, **names: str) -> None:
        """Answer a path (`/` written as `_`) as a recorded server did."""
        for path, name in names.items():
            place = "/" + path.replace("_", "/")
            self.pages[place], self.statuses[place] = page(server, name), status(server, name)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    server: Server, path: str | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Url]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        if path is not None:
            await web.UnixSite(runner, path).start()
            yield Url("unix", "localhost", 0, path=path)
        else:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            yield Url("https" if tls else "http", "127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()
