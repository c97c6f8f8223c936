"""The routes of the data plane: exact paths, one table, no pattern."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson
from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import HttpProcessingError

from penstock.server.answer import ReadyAnswer, WrittenAnswer, json_message
from penstock.server.connection import BODY_SECONDS
from penstock.server.headers import last
from penstock.server.malformed import fault_of, malformed
from penstock.server.standing import UnknownPriorityError
from penstock.server.target import CHAT, LATER, MODELS, is_inference, path_of, query_of

if TYPE_CHECKING:
    from penstock.server.connection import ClientConnection
    from penstock.server.health import Health
    from penstock.server.models import Models
    from penstock.server.registry import Registry
    from penstock.server.standing import StandingReader

__all__ = ["Routes"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """An error that ends the handling of a request. `closes`: the connection ends with it, without reading on."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: bytes | None = None,
        retry_after_ms: int | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers
        self.retry_after_ms = retry_after_ms
        self.closes = closes


class ClientLeftError(Exception):
    """There is nobody left to answer."""


class Routes:
    """Finds the handler of a request and runs it."""

    def __init__(self, registry: Registry, models: Models, health: Health, standing: StandingReader) -> None:
        self._registry = registry
        self._gateway = registry.gateway
        self._models = models
        self._health = health
        self._standing = standing
        get_health: dict[str, Handler] = {"GET": self._get_health, "HEAD": self._get_health}
        self._table: dict[str, dict[str, Handler]] = {
            CHAT: {"POST": self._chat},
            MODELS: {"GET": self._list_models},
            **{path: {"POST": self._later} for path in LATER},
            **dict.fromkeys(("/livez", "/readyz", "/health"), get_health),
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._handler(request)(request)
        except Refused as refused:
            return await self._refuse(request, refused)
        except ClientLeftError:
            return ReadyAnswer(b"", keep_alive=False)

    def _handler(self, request: web.BaseRequest) -> Handler:
        """Return who answers a request.

        Raises:
            Refused: nobody does.
        """
        if (fault := fault_of(request)) is not None:
            raise Refused("invalid_value", fault, closes=True)
        path = path_of(request)
        methods = self._table.get(path)
        if methods is None and path.startswith(MODELS + "/"):
            methods = {"GET": self._get_model}
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        if connection.over_limit and (methods is None or self._get_health not in methods.values()):
            message = "too many connections are open"
            raise Refused("connection_limit", message, retry_after_ms=1000, closes=True)
        if methods is None:
            raise Refused("unknown_url", f"there is nothing at {path[:200]}")
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(methods)
            headers = f"allow: {allowed}\r\n".encode()
            raise Refused("method_not_allowed", f"{path[:200]} takes {allowed}", headers=headers)
        return handler

    # POST /v1/chat/completions

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check_content_type(request)
        body = await self._read_body(request)
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        transport = connection.transport
        try:
            standing = self._standing.read(request.headers, transport)
        except UnknownPriorityError as error:
            raise Refused("invalid_value", str(error)) from None
        answer = WrittenAnswer()
        if transport is None:
            answer.done(False)
        else:
            call = self._gateway.submit(
                body,
                request_id=last(request.headers, "x-request-id"),
                keep_alive=_stays_open(request),
                http10=request.version == HttpVersion10,
                write=transport.write,
                done=answer.done,
                tenant=standing.tenant,
                band=standing.band,
                sessions=standing.sessions,
            )
            connection.attach(call, answer)
        del body
        try:
            await answer.wait()
        finally:
            connection.detach()
        if not answer.keep_alive and connection.is_ahead:
            await connection.linger()
        return answer

    def _check_content_type(self, request: web.BaseRequest) -> None:
        given = request.headers.get("content-type")
        if given is not None and given.partition(";")[0].strip().lower() != "application/json":
            raise Refused("unsupported_media_type", "the content type must be application/json")
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused("unsupported_media_type", "compressed request bodies are not accepted")

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        """Return the body.

        Raises:
            Refused: it is too large, too slow or not well-formed.
            ClientLeftError: the client has left.
        """
        if _expects(request) and not self._is_too_large(request) and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces: list[bytes] = []
        try:
            await self._take_body(request, pieces.append)
        except ConnectionError:
            # Its record is all that is left to do.
            self._gateway.left_early(last(request.headers, "x-request-id"), time.monotonic() - self._arrived(request))
            raise ClientLeftError from None
        return b"".join(pieces)

    async def _drop_body(self, request: web.BaseRequest) -> None:
        """Read a body that nobody wants, so that the connection can stay, whether it came with the head or later.

        A client that waits for 100 (Continue) may never send it, and one that is too large is too much to ask for.
        """
        if not _expects(request):
            with contextlib.suppress(Refused, ConnectionError):
                await self._take_body(request, lambda _: None)

    async def _take_body(self, request: web.BaseRequest, take: Callable[[bytes], None]) -> None:
        limit = self._registry.limits.body
        too_large = Refused("request_too_large", f"the request body is larger than {limit} bytes", closes=True)
        if self._is_too_large(request):
            raise too_large
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        is_chunked = request.content_length is None
        size = 0
        try:
            # Not by the sweep: to have a parser end a body that is late takes more than to stop waiting for it.
            async with asyncio.timeout_at(connection.body_due):
                async for piece in request.content.iter_any():
                    size += len(piece)
                    if size > limit:
                        raise too_large
                    if is_chunked and connection.is_mostly_framing(size):
                        raise Refused("request_too_large", "the request body is in too small chunks", closes=True)
                    take(piece)
        except TimeoutError:
            message = f"the request body did not come within {BODY_SECONDS:.0f} s"
            raise Refused("request_timeout", message, closes=True) from None
        except (web.RequestPayloadError, HttpProcessingError) as error:
            # The second kind is what aiohttp's parser in Python raises.
            raise Refused(*malformed(error.__cause__ or error), closes=True) from None

    def _is_too_large(self, request: web.BaseRequest) -> bool:
        return (request.content_length or 0) > self._registry.limits.body

    @staticmethod
    def _arrived(request: web.BaseRequest) -> float:
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        return connection.head_came

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
        await self._drop_body(request)
        keep_alive = _stays_open(request)
        http10 = request.version == HttpVersion10
        request_id = self._gateway.request_id(last(request.headers, "x-request-id"))
        message = json_message(status, orjson.dumps(value), request_id, keep_alive=keep_alive, http10=http10)
        return ReadyAnswer(message, keep_alive=keep_alive, refusal=not keep_alive)

    async def _refuse(self, request: web.BaseRequest, refused: Refused) -> ReadyAnswer:
        """Return an error answer. The connection stays open only if the request was read whole."""
        if not refused.closes:
            await self._drop_body(request)
        keep_alive = _stays_open(request) and not refused.closes
        text = self._gateway.error_answer(
            refused.code,
            refused.message,
            param=refused.param,
            request_id=last(request.headers, "x-request-id"),
            keep_alive=keep_alive,
            http10=request.version == HttpVersion10,
            counted=is_inference(request.method, request.raw_path),
            headers=refused.headers,
            retry_after_ms=refused.retry_after_ms,
            seconds=time.monotonic() - self._arrived(request),
        )
        return ReadyAnswer(text, keep_alive=keep_alive, refusal=not keep_alive)


def _expects(request: web.BaseRequest) -> bool:
    """Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1)."""
    return request.version != HttpVersion10 and request.headers.get("expect", "").lower() == "100-continue"


def _stays_open(request: web.BaseRequest) -> bool:
    """Whether the connection may carry another request: only if this one was read whole."""
    connection: ClientConnection = request.protocol  # type: ignore[assignment]
    # RFC 9112 §6.1: an HTTP/1.0 client that sends chunks may not know where they end.
    is_odd = request.version == HttpVersion10 and "transfer-encoding" in request.headers
    return connection.is_whole and bool(request.keep_alive) and not is_odd
