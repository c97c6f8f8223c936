"""The admin listener with clients that make mistakes, and with some that do not let go."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from penstock.admin import listener
from tests.backend import Backend, backend_of, config_of
from tests.conftest import Gateway, Raw, gateway_of
from tests.serving import serving

pytestmark = pytest.mark.once

Client = Callable[[], Awaitable[Raw]]


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with backend_of() as running:
        yield running


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    async with gateway_of(config_of(backend)) as running:
        yield running


async def ask_admin(gateway: Gateway, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a new connection; return the answer behind which it closes."""
    port = gateway.service.control.settings.admin.listen.port
    raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        await raw.send(request)
        async with asyncio.timeout(5):
            status, headers = await raw.head()
            return status, headers, await raw.reader.read()
    finally:
        raw.abort()


HEAD = b"GET /metrics HTTP/1.1\r\nhost: x\r\n"

POST = b"POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"NONSENSE\r\n\r\n", 400, "invalid_value"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "invalid_value"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, "invalid_value"),
        (b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_value"),
        (HEAD + b"content-length: -1\r\n\r\n", 400, "invalid_value"),
        (HEAD + b"b\xffad: y\r\n\r\n", 400, "invalid_value"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400, "invalid_value"),
        (POST + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", 405, "method_not_allowed"),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400, "invalid_value"),
        (HEAD + b"expect: wonders\r\nconnection: close\r\n\r\n", 417, "invalid_value"),
        (HEAD + b"x: " + b"a" * 9000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431, "head_too_large"),
        (HEAD + b"a: b\r\n" * 200 + b"\r\n", 431, "head_too_large"),
    ],
)
async def test_malformed_requests(
    request_bytes: bytes, status: int, code: str, gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    got, headers, body = await ask_admin(gateway, request_bytes)
    error = json.loads(body)["error"]
    assert (got, error["code"], error["type"], error["param"]) == (status, code, "invalid_request_error", None)
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert "server" not in headers
    # It is the client's mistake: nothing for the log.
    gateway.service.log_writer.close()
    out, err = capfd.readouterr()
    assert err == ""
    assert {json.loads(line)["event"] for line in out.splitlines()} <= {"backend_up"}


async def test_a_handler_that_fails(gateway: Gateway, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise TimeoutError("the lock")

    gateway.service.control.status = fail  # type: ignore[assignment,method-assign]
    token = gateway.service.control.settings.admin.token
    request = f"GET /admin/status HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
    status, _, body = await ask_admin(gateway, request.encode())
    error = {"message": "internal error", "type": "server_error", "param": None, "code": "internal_error"}
    assert (status, json.loads(body)) == (500, {"error": error})
    gateway.service.log_writer.close()
    out, err = capfd.readouterr()
    assert err == ""
    (line,) = [line for line in map(json.loads, out.splitlines()) if line["event"] == "admin_failed"]
    assert (line["level"], line["path"]) == ("error", "/admin/status")
    assert line["exception"].endswith("TimeoutError: the lock")


async def test_good_requests_say_nothing_of_what_we_run_on(gateway: Gateway) -> None:
    status, headers, body = await ask_admin(gateway, HEAD + b"connection: close\r\n\r\n")
    assert status == 200
    assert "server" not in headers
    assert b"penstock_build_info" in body


async def hold_on(client: Client) -> socket.socket:
    """Let one be idle, one keep the rest of its body to itself, and one, which is returned, read nothing."""
    idle = await client()
    await idle.send(HEAD + b"\r\n")
    assert (await idle.response()).status == 200
    sender = await client()
    await sender.send(HEAD.replace(b"GET", b"POST") + b"content-length: 100\r\n\r\nabc")
    assert (await sender.response()).status == 405
    port = sender.writer.get_extra_info("peername")[1]
    return await stuffed(port)


async def test_the_end_waits_for_no_admin_client(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LINGER_SECONDS", 50.0)
    monkeypatch.setattr(listener, "CLOSE_SECONDS", 0.1)
    opened: list[Raw] = []
    async with gateway_of(config_of(backend)) as gateway:
        port = gateway.service.control.settings.admin.listen.port

        async def client() -> Raw:
            opened.append(Raw(*await asyncio.open_connection("127.0.0.1", port)))
            return opened[-1]

        with await hold_on(client):
            async with asyncio.timeout(10):
                await gateway.service.control.stop()
            for raw in opened:
                assert await raw.reader.read() == b""
                raw.abort()


async def test_penstock_ends_whatever_admin_clients_do(tmp_path: Path, backend: Backend) -> None:
    async with serving(config_of(backend), tmp_path, workers=1) as instance:
        await instance.greeted()
        errors = instance.errors
        with await hold_on(partial(instance.client, instance.admin)):
            instance.process.send_signal(signal.SIGTERM)
            assert await instance.ends() == 0
            await instance.all_ended()
        assert instance.errors == errors


async def stuffed(port: int) -> socket.socket:
    """Ask for some 50 MB, and read nothing of it."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    await loop.sock_connect(reader, ("127.0.0.1", port))
    with suppress(TimeoutError):
        # It stops to read us when it cannot write.
        await asyncio.wait_for(loop.sock_sendall(reader, (HEAD + b"\r\n") * 4000), 0.5)
    return reader
