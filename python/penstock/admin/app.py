"""The admin listener: /metrics and /admin/status."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from penstock.metrics.exposition import CONTENT_TYPE_LATEST, page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.server.service import Service

__all__ = ["admin_app"]

SERVICE: web.AppKey[Service] = web.AppKey("service")


def admin_app(service: Service, token: str, *, public: bool) -> web.Application:
    """Return the application. `public`: the listener is not loopback, so /metrics needs the token too."""
    app = web.Application(middlewares=[_guard(token, public=public), _four_keys])
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/admin/status", _status)
    app.on_response_prepare.append(_no_server)
    app[SERVICE] = service
    return app


def _guard(token: str, *, public: bool) -> Any:
    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if public or request.path.startswith("/admin/"):
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
                return _error(401, "authentication_error", "invalid_api_key", "the admin token is missing or wrong")
        return await handler(request)

    return guard


@web.middleware
async def _four_keys(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _error(404, "invalid_request_error", "unknown_url", f"there is nothing at {request.path[:200]}")
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = _error(405, "invalid_request_error", "method_not_allowed", f"{request.path[:200]} takes {allowed}")
        answer.headers["allow"] = allowed
        return answer


def _error(status: int, kind: str, code: str, message: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.Response(status=status, body=orjson.dumps({"error": error}), content_type="application/json")


async def _no_server(_: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of what we run on."""
    response.headers.popall("Server", None)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=page(request.app[SERVICE]), headers={"content-type": CONTENT_TYPE_LATEST})


async def _status(request: web.Request) -> web.Response:
    return web.json_response(body=orjson.dumps(request.app[SERVICE].status()))
