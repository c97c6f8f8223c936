"""What a good engineer writes in an hour: an aiohttp server that passes requests on through one aiohttp client.

    python aiohttp_proxy.py PORT BACKEND

Head and body go through as they are, and streams piece by piece as they come. When the client leaves, its request to
the backend is closed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy

OF_ONE_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
"""Headers that end at a proxy (RFC 9110 §7.6.1)."""
BACKEND = web.AppKey("backend", str)
SESSION = web.AppKey("session", ClientSession)


def end_to_end(headers: CIMultiDictProxy[str], *also: str) -> CIMultiDict[str]:
    """What a proxy passes on of `headers`; `also` names more that stay behind."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in OF_ONE_HOP | {*also})


async def forward(request: web.Request) -> web.StreamResponse:
    url = request.app[BACKEND] + request.raw_path
    headers, body = end_to_end(request.headers, "host", "content-length"), await request.read()
    try:
        upstream = await request.app[SESSION].request(request.method, url, headers=headers, data=body)
    except ClientError as error:
        raise web.HTTPBadGateway from error
    async with upstream:
        if upstream.content_type != "text/event-stream":
            answer = await upstream.read()
            return web.Response(
                status=upstream.status, headers=end_to_end(upstream.headers, "content-length"), body=answer
            )
        response = web.StreamResponse(status=upstream.status, headers=end_to_end(upstream.headers))
        await response.prepare(request)
        async for piece in upstream.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    # No limit of connections (the default is 100) and no timeout, which would end long streams.
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
    ) as client:
        app[SESSION] = client
        yield


def main(port: int, backend: int) -> None:
    app = web.Application(client_max_size=64 << 20)
    app[BACKEND] = f"http://127.0.0.1:{backend}"
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, backlog=4096, loop=loop, handler_cancellation=True, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
