"""Web pages: whose requests make a model work, and who may read the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.backend import Backend, backend_of, config_of
from tests.conftest import Connect, Gateway, ask, gateway_of, post

CHAT = "/v1/chat/completions"
NAMED = "https://app.example"
CORS = f"cors: {{origins: [{NAMED}]}}\n"


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with backend_of() as running:
        yield running


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    async with gateway_of(CORS + config_of(backend)) as running:
        yield running


def preflight(path: str, origin: str = NAMED, asked: str = "authorization, content-type, x-stainless-os") -> bytes:
    return (
        f"OPTIONS {path} HTTP/1.1\r\nhost: test\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n"
        f"access-control-request-headers: {asked}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/messages"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1"},
        {"origin": "http://127.0.0.1.evil.example", "host": "127.0.0.1"},
        {"origin": "http://localhostevil", "host": "localhost"},
        {"origin": "http://localhost@evil", "host": "localhost"},
        {"origin": "localhost", "host": "localhost"},
        {"origin": "ftp://localhost", "host": "localhost"},
        # A page whose name leads here by now.
        {"origin": "http://evil.example", "host": "evil.example"},
        {"origin": "http://evil.example:8080", "host": "evil.example:8080", "sec_fetch_site": "same-origin"},
        {"origin": "http://127.0.0.1.evil.example", "host": "127.0.0.1.evil.example"},
        {"origin": "http://1.2.3", "host": "1.2.3"},
        {"origin": "https://app.example.evil"},
        {"origin": "https://app.example:8443"},
        {"origin": "http://app.example"},
        {"origin": f"{NAMED} {NAMED}"},
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "Cross-Site"},
        {"origin": "http://localhost", "host": "localhost", "sec_fetch_site": "cross-site"},
        # What fetch() sends with `mode: "no-cors"` and a blob: no preflight, no type.
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site", "content_type": ""},
    ],
    ids=str,
)
async def test_a_foreign_page_makes_no_model_work(
    gateway: Gateway, backend: Backend, connect: Connect, path: str, headers: dict[str, str]
) -> None:
    raw = await connect(gateway)
    await raw.send(post(ask(), path, **headers))
    refused = await raw.response()
    assert (refused.status, refused.error["code"], refused.error["type"]) == (
        403,
        "origin_not_allowed",
        "permission_error",
    )
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    assert backend.posts == 0
    assert gateway.requests() == {("client_error", "CR"): 1}
    # The connection is as good as before.
    assert (await raw.chat(ask())).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost", "host": "localhost"},
        {"origin": "http://LOCALHOST:80", "host": "localhost"},
        {"origin": "https://127.0.0.1", "host": "127.0.0.1"},
        {"origin": "https://127.0.0.1:443", "host": "127.0.0.1:443"},
        {"origin": "http://chat.localhost:8080", "host": "chat.localhost:8080"},
        {"origin": "http://[::1]:8080", "host": "[::1]:8080"},
        {"origin": "http://localhost:8080", "host": "LOCALHOST:8080", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
    ],
    ids=str,
)
async def test_who_is_of_this_origin_or_no_browser_is_served(
    gateway: Gateway, connect: Connect, headers: dict[str, str]
) -> None:
    raw = await connect(gateway)
    for stream in (False, True):
        answer = await raw.chat(ask(stream=stream), **headers)
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("access-control-") or name == "vary"]


@pytest.mark.parametrize("headers", [{"origin": NAMED}, {"origin": NAMED.upper(), "sec_fetch_site": "cross-site"}])
async def test_a_named_page_may_read_every_answer(gateway: Gateway, connect: Connect, headers: dict[str, str]) -> None:
    raw = await connect(gateway)
    requests = [
        (post(ask(), **headers), 200),
        (post(ask(stream=True), **headers), 200),
        (post(ask(model="none"), **headers), 404),
        (post(b"{", **headers), 400),
        (post(ask(), content_type="text/plain", **headers), 415),
        (post(ask(), "/v1/responses", **headers), 501),
        (post(ask(), "/nowhere", **headers), 404),
        (post(b"", "/v1/models", **headers).replace(b"POST", b"GET", 1), 200),
        (post(b"", "/readyz", **headers).replace(b"POST", b"GET", 1), 200),
    ]
    for request, status in requests:
        await raw.send(request)
        answer = await raw.response()
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == NAMED
        assert answer.headers["vary"] == "origin"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        # What browsers let a page read anyway (Fetch Standard, CORS-safelisted), and what is not for it.
        free = {"content-type", "content-length", "cache-control", "date", "transfer-encoding", "vary", "connection"}
        rest = {name for name in answer.headers if not name.startswith("access-control-")} - free
        assert rest - {"x-accel-buffering"} <= set(exposed)


async def test_an_answer_after_a_refusal_by_admission_may_be_read(backend: Backend, connect: Connect) -> None:
    config = CORS + config_of(backend, concurrency=0)
    async with gateway_of(config, wait=False) as gateway:
        answer = await (await connect(gateway)).chat(ask(), origin=NAMED)
        assert answer.status == 503
        assert answer.headers["access-control-allow-origin"] == NAMED


@pytest.mark.parametrize(
    ("path", "methods"), [(CHAT, "POST"), ("/v1/models", "GET, HEAD"), ("/v1/models/fast", "GET, HEAD")]
)
async def test_a_preflight_says_what_a_named_page_may_send(
    gateway: Gateway, connect: Connect, path: str, methods: str
) -> None:
    raw = await connect(gateway)
    await raw.send(preflight(path))
    status, headers = await raw.head()
    assert status == 204
    assert "content-length" not in headers
    assert headers["access-control-allow-origin"] == NAMED
    assert headers["access-control-allow-methods"] == methods
    assert headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    assert int(headers["access-control-max-age"]) > 0
    assert headers["vary"] == "origin"
    assert (await raw.chat(ask(), origin=NAMED)).status == 200


async def test_other_preflights(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    for request, status in (
        (preflight(CHAT, "https://evil.example"), 403),
        (preflight(CHAT, "null"), 403),
        (preflight("/nowhere"), 404),
        (b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: " + NAMED.encode() + b"\r\n\r\n", 405),
        (b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\naccess-control-request-method: POST\r\n\r\n", 405),
    ):
        await raw.send(request)
        assert (await raw.response()).status == status
    # What is no list of names is not said again.
    await raw.send(preflight(CHAT, asked="x: y"))
    status, headers = await raw.head()
    assert (status, "access-control-allow-headers" in headers) == (204, False)


@pytest.mark.parametrize(
    ("path", "lines", "status"),
    [
        ("/livez", "origin: https://evil.example", 200),
        ("/readyz", "sec-fetch-site: cross-site", 200),
        ("/v1/models", "origin: https://evil.example", 403),
        ("/v1/models/fast", "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors", 403),
        # A link that somebody follows.
        ("/v1/models", "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate", 200),
    ],
)
async def test_what_a_foreign_page_may_get(
    gateway: Gateway, connect: Connect, path: str, lines: str, status: int
) -> None:
    raw = await connect(gateway)
    await raw.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n".encode())
    answer = await raw.response()
    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers


async def test_any_origin(backend: Backend, connect: Connect) -> None:
    async with gateway_of("cors: {origins: ['*']}\n" + config_of(backend)) as gateway:
        raw = await connect(gateway)
        for origin in ("https://evil.example", "null"):
            answer = await raw.chat(ask(), origin=origin, sec_fetch_site="cross-site")
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
            await raw.send(preflight(CHAT, origin))
            assert (await raw.head())[1]["access-control-allow-origin"] == "*"


async def test_two_origins_are_none(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    await raw.send(post(ask(), origin=NAMED).replace(b"\r\n", f"\r\norigin: {NAMED}\r\n".encode(), 1))
    assert (await raw.response()).status == 403
