"""The routes of the data plane: exact paths, one table, no pattern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson
from aiohttp import HttpVersion10, web

from penstock.server.answer import ReadyAnswer, WrittenAnswer, json_message
from penstock.server.connection import BODY_SECONDS
from penstock.server.headers import last
from penstock.server.malformed import fault_of
from penstock.server.standing import UnknownPriorityError
from penstock.server.target import path_of, query_of

if TYPE_CHECKING:
    from penstock.server.connection import ClientConnection
    from penstock.server.health import Health
    from penstock.server.models import Models
    from penstock.server.registry import Registry
    from penstock.server.standing import StandingReader

__all__ = ["Routes"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
# Endpoints of the interface whose step has not come: a clear 501 rather than a 404.
LATER = ("/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens")


# Requests that count in metrics and log (contract §8).
INFERENCE = (CHAT, *LATER)


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """An answer that ends the handling of a request at once."""

    def __init__(self, answer: ReadyAnswer) -> None:
        super().__init__()
        self.answer = answer


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
        path = path_of(request)
        methods = self._table.get(path)
        if methods is None and path.startswith(MODELS + "/"):
            methods = {"GET": self._get_model}
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        try:
            if (fault := fault_of(request)) is not None:
                raise self._refused(request, "invalid_value", fault, closes=True)
            # aiohttp bounds each line and their number; this is the bound on all of them together.
            size = len(request.raw_path) + sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
            if size > self._registry.limits.head:
                message = f"the head is larger than {self._registry.limits.head} bytes"
                raise self._refused(request, "head_too_large", message)
            if connection.over_limit and (methods is None or self._get_health not in methods.values()):
                raise self._refused(request, "connection_limit", "too many connections are open", retry_after_ms=1000)
            if methods is None:
                raise self._refused(request, "unknown_url", f"there is nothing at {path[:200]}")
            handler = methods.get(request.method)
            if handler is None:
                allowed = ", ".join(methods)
                raise self._refused(
                    request,
                    "method_not_allowed",
                    f"{path[:200]} takes {allowed}",
                    headers=f"allow: {allowed}\r\n".encode(),
                )
            return await handler(request)
        except Refused as refused:
            return refused.answer

    # POST /v1/chat/completions

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check_content_type(request)
        body = await self._read_body(request)
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        transport = connection.transport
        try:
            standing = self._standing.read(request.headers, transport)
        except UnknownPriorityError as error:
            raise self._refused(request, "invalid_value", str(error)) from None
        answer = WrittenAnswer()
        if transport is None:
            answer.done(False)
        else:
            call = self._gateway.submit(
                body,
                request_id=last(request.headers, "x-request-id"),
                keep_alive=_keeps_alive(request),
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
            raise self._refused(request, "unsupported_media_type", "the content type must be application/json")
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise self._refused(request, "unsupported_media_type", "compressed request bodies are not accepted")

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        limit = self._registry.limits.body
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        too_large = f"the request body is larger than {limit} bytes"
        if (request.content_length or 0) > limit:
            raise self._refused(request, "request_too_large", too_large)
        expects = request.version != HttpVersion10 and request.headers.get("expect", "").lower() == "100-continue"
        if expects and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        is_chunked = request.content_length is None
        pieces: list[bytes] = []
        size = 0
        try:
            # Not by the sweep: to have a parser end a body that is late takes more than to stop waiting for it.
            async with asyncio.timeout_at(connection.body_due):
                async for piece in request.content.iter_any():
                    size += len(piece)
                    if size > limit:
                        raise self._refused(request, "request_too_large", too_large)
                    if is_chunked and connection.is_mostly_framing(request.content, size):
                        raise self._refused(request, "request_too_large", "the request body is in too small chunks")
                    pieces.append(piece)
        except TimeoutError:
            message = f"the request body did not come within {BODY_SECONDS:.0f} s"
            raise self._refused(request, "request_timeout", message) from None
        except ConnectionError:
            # The client is gone; its record is all that is left to do.
            self._gateway.left_early(last(request.headers, "x-request-id"), time.monotonic() - self._arrived(request))
            raise Refused(ReadyAnswer(b"", keep_alive=False)) from None
        except web.RequestPayloadError:
            raise self._refused(request, "invalid_value", "the request body is not well-formed HTTP/1.1") from None
        return b"".join(pieces)

    @staticmethod
    def _arrived(request: web.BaseRequest) -> float:
        connection: ClientConnection = request.protocol  # type: ignore[assignment]
        return connection.head_came

    async def _later(self, request: web.BaseRequest) -> web.StreamResponse:
        raise self._refused(request, "unsupported_endpoint", f"{path_of(request)} is not available in this version")

    # GET

    async def _list_models(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._json(request, 200, self._models.listing())

    async def _get_model(self, request: web.BaseRequest) -> web.StreamResponse:
        name = unquote(path_of(request)[len(MODELS) + 1 :])
        model = self._models.get(name)
        if model is None:
            names = ", ".join(self._models.names)
            message = f"the model '{name[:256]}' does not exist; available models: {names}"
            raise self._refused(request, "model_not_found", message, param="model")
        return self._json(request, 200, model)

    async def _get_health(self, request: web.BaseRequest) -> web.StreamResponse:
        if path_of(request) == "/readyz":
            status, body = self._health.ready(verbose="verbose" in query_of(request).split("&"))
        else:
            status, body = self._health.live()
        return self._json(request, status, body)

    def _json(self, request: web.BaseRequest, status: int, value: object) -> ReadyAnswer:
        keep_alive = _stays_open(request)
        http10 = request.version == HttpVersion10
        request_id = self._gateway.request_id(last(request.headers, "x-request-id"))
        message = json_message(status, orjson.dumps(value), request_id, keep_alive=keep_alive, http10=http10)
        return ReadyAnswer(message, keep_alive=keep_alive, refusal=not keep_alive)

    def _refused(
        self,
        request: web.BaseRequest,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: bytes | None = None,
        retry_after_ms: int | None = None,
        closes: bool = False,
    ) -> Refused:
        """Return an error to raise. The connection stays open only if the request was read whole."""
        keep_alive = _stays_open(request) and not closes and code not in ("connection_limit", "head_too_large")
        text = self._gateway.error_answer(
            code,
            message,
            param=param,
            request_id=last(request.headers, "x-request-id"),
            keep_alive=keep_alive,
            http10=request.version == HttpVersion10,
            counted=request.method == "POST" and path_of(request) in INFERENCE,
            headers=headers,
            retry_after_ms=retry_after_ms,
            seconds=time.monotonic() - self._arrived(request),
        )
        return Refused(ReadyAnswer(text, keep_alive=keep_alive, refusal=not keep_alive))


def _stays_open(request: web.BaseRequest) -> bool:
    """Whether the connection may carry another request: only if this one was read whole."""
    whole = not request.body_exists or request.content.is_eof()
    return whole and _keeps_alive(request)


def _keeps_alive(request: web.BaseRequest) -> bool:
    # RFC 9112 §6.1: an HTTP/1.0 client that sends chunks may not know where they end.
    is_odd = request.version == HttpVersion10 and "transfer-encoding" in request.headers
    return bool(request.keep_alive) and not is_odd
