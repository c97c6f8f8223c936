"""What Penstock uses of the private API of aiohttp and uvloop is still there, and does what it did."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import socket
import textwrap
from collections.abc import Callable
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import penstock
from penstock.admin import listener
from penstock.net import answer, private
from penstock.net.private import DialingConnector, ObservableHandler, as_transport, is_too_many_headers, set_keep_alive
from penstock.server import answer as server_answer
from penstock.server import client_server, connection

NAMES = {
    "client_proto:ResponseHandler": "the type of a client connection",
    "connector:BaseConnector._create_connection": "opening client connections with our own dialer",
    "connector:BaseConnector._factory": "making the protocol of such a connection",
    "http:RawRequestMessage": "telling a request from a description of an error",
    "http_exceptions:HttpProcessingError": "what aiohttp's parser in Python raises for a broken body",
    "http_exceptions:LineTooLong": "answering 431 and not 400",
    "streams:StreamReader.is_eof": "seeing that the parser has found the end of a body",
    "streams:StreamReader.set_exception": "ending the wait for a body that is lost",
    "web_protocol:RequestHandler": "serving connections whose bytes we cut into requests",
    "web_protocol:RequestHandler._buffer_paused": "knowing whether the client is not read",
    "web_protocol:RequestHandler._messages": "looking at the request that was parsed last",
    "web_protocol:RequestHandler._pause_reading_for_buffer": "not reading a client that pipelines too much",
    "web_protocol:RequestHandler._reading_paused": "knowing whether the parser holds back a body",
    "web_protocol:RequestHandler._request_count": "seeing that a request was parsed",
    "web_protocol:RequestHandler._resume_reading_for_buffer": "reading such a client again",
    "web_protocol:RequestHandler._resume_reading_if_drained": "hearing that a request was dequeued",
    "web_protocol:RequestHandler._waiter": "knowing whether a connection is idle",
    "web_protocol:RequestHandler.finish_response": "going on behind an answer",
    "web_protocol:RequestHandler.handle_error": "answering malformed requests in our form",
    "web_protocol:RequestHandler.writing_paused": "pausing a backend whose client reads slowly",
    "web_response:StreamResponse._keep_alive": "keeping a connection open behind an answer of our own bytes",
}
INSTANCES: dict[str, Callable[[], Any]] = {
    "_factory": aiohttp.BaseConnector,
    "_keep_alive": web.StreamResponse,
}
"""What has an attribute that its class does not show."""


@pytest.mark.parametrize("name", NAMES)
async def test_it_is_still_there(name: str) -> None:
    module, _, path = name.partition(":")
    text = f"aiohttp {version('aiohttp')} has no {name}, which penstock/net/private.py needs for: {NAMES[name]}"
    *owners, last = path.split(".")
    owner = reduce(getattr, owners, importlib.import_module(f"aiohttp.{module}"))
    owner = INSTANCES[last]() if last in INSTANCES else owner
    assert hasattr(owner, last), text


class Transport(asyncio.Transport):
    """Remembers what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def is_closing(self) -> bool:
        return "close" in self.calls

    def close(self) -> None:
        self.calls.append("close")


class Handler(ObservableHandler):
    """Counts the requests that were taken from the queue."""

    dequeued = 0

    def request_dequeued(self) -> None:
        self.dequeued += 1
        if self.is_transport_paused:
            self.resume_transport()


REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def connected() -> tuple[Handler, Transport, asyncio.Event]:
    """Return a handler that has a transport; its requests are answered when the event is set."""
    go_on = asyncio.Event()

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        await go_on.wait()
        return web.Response()

    handler, transport = Handler(web.Server(handle), loop=asyncio.get_running_loop(), access_log=None), Transport()
    handler.connection_made(transport)
    await asyncio.sleep(0.01)
    return handler, transport, go_on


async def test_a_handler_waits_exactly_while_it_has_no_request() -> None:
    handler, transport, go_on = await connected()
    assert handler.is_waiting
    handler.data_received(REQUEST)
    await asyncio.sleep(0.01)
    assert not handler.is_waiting
    go_on.set()
    await asyncio.sleep(0.01)
    assert handler.is_waiting
    assert transport.written.startswith(b"HTTP/1.1 200")
    handler.connection_lost(None)


async def test_what_was_parsed_is_counted_and_can_be_discarded() -> None:
    handler, transport, go_on = await connected()
    handler.data_received(REQUEST)
    await asyncio.sleep(0.01)
    handler.data_received(REQUEST.replace(b"/ ", b"/second "))
    assert handler.parsed_count == 2
    message, body = handler.last_parsed
    assert isinstance(message, private.RawRequestMessage)
    assert (message.path, body.is_eof()) == ("/second", True)
    handler.discard_last_parsed()
    go_on.set()
    await asyncio.sleep(0.01)
    assert transport.written.count(b"HTTP/1.1 200") == 1
    handler.connection_lost(None)


async def test_what_cannot_be_parsed_is_no_request_message() -> None:
    handler, _, _ = await connected()
    handler.data_received(b"no HTTP\r\n\r\n")
    assert handler.parsed_count == 1
    assert not isinstance(handler.last_parsed[0], private.RawRequestMessage)
    handler.connection_lost(None)


async def test_a_paused_transport_is_resumed_when_a_request_was_dequeued() -> None:
    handler, transport, go_on = await connected()
    handler.data_received(REQUEST)
    handler.data_received(REQUEST)
    await asyncio.sleep(0.01)
    handler.pause_transport()
    assert (handler.is_transport_paused, transport.calls[-1], handler.dequeued) == (True, "pause", 0)
    go_on.set()
    await asyncio.sleep(0.01)
    assert handler.dequeued == 1
    assert (handler.is_transport_paused, transport.calls[-1]) == (False, "resume")
    handler.connection_lost(None)


async def test_a_parser_is_paused_while_nobody_reads_the_body() -> None:
    handler, _, _ = await connected()
    handler.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n")
    assert not handler.is_parser_paused
    for _ in range(20):
        handler.data_received(b"x" * 65536)
    assert handler.is_parser_paused
    handler.connection_lost(None)


async def test_the_error_for_too_many_headers_is_recognised() -> None:
    handler, _, _ = await connected()
    handler.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 1000 + b"\r\n")
    error = handler.last_parsed[0].exc
    assert is_too_many_headers(error), f"aiohttp has another text for it: {error!r}"
    handler.connection_lost(None)


def test_a_response_can_be_told_to_keep_the_connection() -> None:
    response = web.StreamResponse()
    for keep_alive in (True, False, True):
        set_keep_alive(response, keep_alive)
        assert response.keep_alive is keep_alive


async def test_a_connector_dials_as_it_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dialed = 0

    async def dial(factory: Callable[[], private.ResponseHandler]) -> private.ResponseHandler:
        nonlocal dialed
        dialed += 1
        _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
        return protocol

    async with aiohttp.ClientSession(connector=DialingConnector(dial)) as session:
        for _ in range(2):
            async with session.get("http://nowhere.invalid/") as response:
                assert await response.read() == b"ok"
    assert dialed == 2
    server.close()


async def test_uvloop_writes_before_write_returns() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    as_transport(transport).write(b"at once")
    assert theirs.recv(100) == b"at once", "uvloop holds writes back: hot paths count on a system call for each"
    transport.abort()
    await asyncio.sleep(0.01)
    theirs.close()


def test_no_other_file_names_any_of_it() -> None:
    """`ruff` finds private attributes of other objects; this finds those that a subclass takes from its base."""
    taken = []
    for module in (listener, answer, server_answer, client_server, connection):
        classes = [
            each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__
        ]
        for each in classes:
            theirs = {name for base in each.__mro__ if base.__module__.startswith("aiohttp") for name in vars(base)}
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
            named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            taken += [f"{each.__name__}.{name}" for name in named & theirs if name.startswith("_") and name[1] != "_"]
    assert taken == []


PUBLIC = (None, "aiohttp", "aiohttp.web", "aiohttp.abc")


def test_no_other_file_imports_undocumented_modules_of_aiohttp() -> None:
    found = [
        f"{path.name}: {node.module}"
        for path in Path(penstock.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] == "aiohttp"
        and node.module not in PUBLIC
    ]
    assert {line.split(":")[0] for line in found} == {"private.py"}, found
