"""The admin listener: /metrics, /admin/status and /admin/invariants."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from aiohttp import web

from penstock.metrics.exposition import CONTENT_TYPE_LATEST
from penstock.net.message import error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.config.settings import Admin

__all__ = ["Reports", "admin_app"]


class Reports(Protocol):
    """What the admin plane shows."""

    def metrics(self) -> bytes:
        """Return the metrics page."""

    def status(self) -> dict[str, Any]:
        """Return the status page; it becomes JSON."""

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether they hold."""


REPORTS: web.AppKey[Reports] = web.AppKey("reports")


def admin_app(admin: Admin, reports: Reports) -> web.Application:
    """Return the application. On a listener that is not loopback /metrics needs the token too.

    Raises:
        ValueError: the settings hold no token.
    """
    if admin.token is None:
        raise ValueError("the admin plane needs a token")
    app = web.Application(middlewares=[_guard(admin.token, public=not admin.listen.is_loopback), _json_errors])
    for path, handler in (("/metrics", _metrics), ("/admin/status", _status), ("/admin/invariants", _invariants)):
        app.router.add_get(path, handler, expect_handler=_expect)
    app.on_response_prepare.append(_remove_server_header)
    app[REPORTS] = reports
    return app


def _guard(token: str, *, public: bool) -> Any:
    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if public or request.path.startswith("/admin/"):
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            # aiohttp returns bytes that are not UTF-8 as lone surrogates (PEP 383).
            given_bytes = given.encode("utf-8", "surrogateescape")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given_bytes, token.encode()):
                return _error(401, "authentication_error", "invalid_api_key", "the admin token is missing or wrong")
        return await handler(request)

    return guard


@web.middleware
async def _json_errors(
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
    return web.Response(status=status, body=error_body(kind, code, message), content_type="application/json")


async def _expect(request: web.Request) -> web.Response | None:
    """Refuse an unknown `Expect` header at once, as the client waits with its body for the answer."""
    if request.headers["expect"].lower() == "100-continue":
        return None
    return _error(417, "invalid_request_error", "invalid_value", "expect: nothing but 100-continue is known")


async def _remove_server_header(_: web.Request, response: web.StreamResponse) -> None:
    """Remove the header that names aiohttp and its version."""
    response.headers.popall("Server", None)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=request.app[REPORTS].metrics(), headers={"content-type": CONTENT_TYPE_LATEST})


async def _status(request: web.Request) -> web.Response:
    return web.json_response(body=orjson.dumps(request.app[REPORTS].status()))


async def _invariants(request: web.Request) -> web.Response:
    sums = request.app[REPORTS].invariants()
    return web.json_response(body=orjson.dumps(sums), status=200 if sums["ok"] else 500)
