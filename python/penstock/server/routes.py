"""The routes of the data plane: a table of exact paths."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson
from aiohttp import HttpVersion10, web

from penstock.net.answer import ReadyAnswer
from penstock.net.malformed import fault_of
from penstock.net.message import empty_message, json_message
from penstock.server.answer import CoreAnswer
from penstock.server.cors import is_preflight
from penstock.server.headers import last
from penstock.server.reading import drop_body, read_body
from penstock.server.refused import Refused
from penstock.server.target import ENDPOINTS, HEALTH, LATER, MODELS, is_inference, nearest, path_of, query_of

if TYPE_CHECKING:
    from penstock.server.attributes import AttributeReader
    from penstock.server.connection import ClientConnection
    from penstock.server.cors import Origins
    from penstock.server.health import Health
    from penstock.server.models import Models
    from penstock.server.registry import Registry

__all__ = ["Routes"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Routes:
    """Finds the handler of a request, and answers with it or with an error."""

    def __init__(
        self, registry: Registry, models: Models, health: Health, attributes: AttributeReader, origins: Origins
    ) -> None:
        self._registry = registry
        self._gateway = registry.gateway
        self._models = models
        self._health = health
        self._attributes = attributes
        self._origins = origins
        get_health: dict[str, Handler] = {"GET": self._get_health, "HEAD": self._get_health}
        self._table: dict[str, dict[str, Handler]] = {
            **{path: {"POST": self._infer} for path in ENDPOINTS},
            MODELS: {"GET": self._list_models, "HEAD": self._list_models},
            **{path: {"POST": self._later} for path in LATER},
            **dict.fromkeys(HEALTH, get_health),
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._handler(request)(request)
        except Refused as refused:
            return await self._refuse(request, refused)

    def _handler(self, request: web.BaseRequest) -> Handler:
        """Return the handler of a request.

        Raises:
            Refused: there is none, or the request may not have it.
        """
        if (fault := fault_of(request)) is not None:
            raise Refused("invalid_value", fault, closes=True)
        path = path_of(request)
        methods = self._table.get(path)
        if methods is None and path.startswith(MODELS + "/"):
            methods = {"GET": self._get_model, "HEAD": self._get_model}
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        if connection.over_limit and (methods is None or self._get_health not in methods.values()):
            message = "too many connections are open"
            raise Refused("connection_limit", message, retry_after_ms=1000, closes=True)
        if methods is None:
            raise Refused("unknown_url", f"there is nothing at {path[:200]}; the nearest path is {nearest(path)}")
        if request.method == "OPTIONS" and is_preflight(request.headers):
            return functools.partial(self._preflight, methods=methods)
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(methods)
            headers = f"allow: {allowed}\r\n".encode()
            raise Refused("method_not_allowed", f"{path[:200]} takes {allowed}", headers=headers)
        if path not in HEALTH and self._origins.is_foreign(request):
            raise _foreign()
        return handler

    async def _preflight(self, request: web.BaseRequest, methods: Iterable[str]) -> web.StreamResponse:
        lines = self._origins.preflight_lines(request.headers, methods)
        if lines is None:
            raise _foreign()
        return await self._ready(request, functools.partial(empty_message, headers=lines))

    # POST to an endpoint

    async def _infer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check_content_type(request)
        try:
            body = await read_body(request, self._registry.limits.body)
        except ConnectionError:
            # The client is gone: the request is only counted and logged.
            self._gateway.count_incomplete_request(
                last(request.headers, "x-request-id"), time.monotonic() - self._arrived(request)
            )
            return ReadyAnswer(b"", keep_alive=False)
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        transport = connection.transport
        try:
            attributes = self._attributes.read(request.headers, transport)
        except ValueError as error:
            raise Refused("invalid_value", str(error)) from None
        answer = CoreAnswer()
        if transport is None:
            answer.done(False)
        else:
            handle = self._gateway.submit(
                path_of(request),
                body,
                request_id=last(request.headers, "x-request-id"),
                keep_alive=_stays_open(request),
                http10=request.version == HttpVersion10,
                write=transport.write,
                done=answer.done,
                attributes=attributes,
                headers=self._origins.lines(request.headers),
            )
            connection.running.begin(handle, answer, is_paused=connection.writing_paused)
        del body
        try:
            await answer.wait()
        finally:
            connection.running.end()
        if not answer.keep_alive and connection.is_ahead:
            await connection.linger()
        return answer

    def _check_content_type(self, request: web.BaseRequest) -> None:
        given = request.headers.get("content-type")
        if given is not None and given.partition(";")[0].strip().lower() != "application/json":
            message = f"the header content-type must be application/json, not {_quoted(given)}"
            raise Refused("unsupported_media_type", message)
        coding = request.headers.get("content-encoding", "identity")
        if coding.strip().lower() not in ("", "identity"):
            message = f"compressed request bodies are not accepted: the header content-encoding is {_quoted(coding)}"
            raise Refused("unsupported_media_type", message)

    @staticmethod
    def _arrived(request: web.BaseRequest) -> float:
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        return connection.deadlines.head_came

    async def _later(self, request: web.BaseRequest) -> web.StreamResponse:
        raise Refused("unsupported_endpoint", f"{path_of(request)} is not available in this version")

    # GET

    async def _list_models(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._json(request, 200, self._models.listing())

    async def _get_model(self, request: web.BaseRequest) -> web.StreamResponse:
        name = unquote(path_of(request)[len(MODELS) + 1 :])
        model = self._models.get(name)
        if model is None:
            names = ", ".join(self._models.names)
            message = f"the model '{name[:256]}' does not exist; available models: {names}"
            raise Refused("model_not_found", message, param="model")
        return await self._json(request, 200, model)

    async def _get_health(self, request: web.BaseRequest) -> web.StreamResponse:
        if path_of(request) == "/readyz":
            status, body = self._health.ready(verbose="verbose" in query_of(request).split("&"))
        else:
            status, body = self._health.live()
        return await self._json(request, status, body)

    async def _json(self, request: web.BaseRequest, status: int, value: object) -> ReadyAnswer:
        headers = self._origins.lines(request.headers)
        return await self._ready(request, functools.partial(json_message, status, orjson.dumps(value), headers=headers))

    async def _ready(self, request: web.BaseRequest, message: Callable[..., bytes]) -> ReadyAnswer:
        """Answer with the message that `message` makes, which needs to know whether the connection stays open."""
        await drop_body(request, self._registry.limits.body)
        keep_alive = _stays_open(request)
        http10 = request.version == HttpVersion10
        request_id = self._gateway.request_id(last(request.headers, "x-request-id"))
        written = message(request_id=request_id, keep_alive=keep_alive, http10=http10)
        return ReadyAnswer(written, keep_alive=keep_alive, refusal=not keep_alive)

    async def _refuse(self, request: web.BaseRequest, refused: Refused) -> ReadyAnswer:
        """Return an error answer. The connection stays open only if the whole request was read."""
        if not refused.closes:
            await drop_body(request, self._registry.limits.body)
        keep_alive = _stays_open(request) and not refused.closes
        text = self._gateway.error_answer(
            refused.code,
            refused.message,
            param=refused.param,
            request_id=last(request.headers, "x-request-id"),
            keep_alive=keep_alive,
            http10=request.version == HttpVersion10,
            counted=is_inference(request.method, request.raw_path),
            headers=refused.headers + self._origins.lines(request.headers),
            retry_after_ms=refused.retry_after_ms,
            seconds=time.monotonic() - self._arrived(request),
        )
        return ReadyAnswer(text, keep_alive=keep_alive, refusal=not keep_alive)


def _foreign() -> Refused:
    return Refused("origin_not_allowed", "a web page may use this server only if cors.origins names its origin")


def _quoted(value: str) -> str:
    return ascii(value[:64])


def _stays_open(request: web.BaseRequest) -> bool:
    """Tell whether the connection may stay open: only if the whole request was read."""
    connection: ClientConnection = request.protocol  # type: ignore[assignment]
    # An HTTP/1.0 client does not know chunks, so where its request ends is not certain (RFC 9112 §6.1).
    is_chunked_http10 = request.version == HttpVersion10 and "transfer-encoding" in request.headers
    return connection.is_whole and bool(request.keep_alive) and not is_chunked_http10
