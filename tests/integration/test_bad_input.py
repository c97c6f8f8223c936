"""Bad input: each a 4xx in OpenAI form that names the field, and nothing reaches a backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.config import texts
from tests.backend import Backend, backend_of, config_of
from tests.conftest import Connect, Gateway, Raw, ask, gateway_of, post

CHAT = "/v1/chat/completions"


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with backend_of() as running:
        yield running


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    config = f"""
limits: {{body: 64KiB, head: 8KiB}}
backends:
  a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 4}}
tiers:
  instant: {{models: [fast, "org/slow"], backends: [a], parameters: {{max_tokens: 100, unsupported: strict}}}}
"""
    async with gateway_of(config) as running:
        yield running


USER = [{"role": "user", "content": "x"}]
BODIES: list[tuple[str, bytes | dict[str, Any], int, str, str | None]] = [
    ("malformed", b'{"model": "fast", ', 400, "invalid_json", None),
    ("empty", b"", 400, "invalid_json", None),
    ("a list", b"[]", 400, "invalid_json", None),
    ("text behind", b'{"model":"fast","messages":[{"role":"user","content":"x"}]} {}', 400, "invalid_json", None),
    ("bad utf-8", b'{"model":"fast","messages":[{"role":"user","content":"\xff"}]}', 400, "invalid_json", None),
    ("deep", b'{"model":"fast","messages":' + b"[" * 1100 + b"]" * 1100 + b"}", 400, "invalid_json", None),
    ("129 deep", b'{"model":"fast","messages":' + b"[" * 128 + b"]" * 128 + b"}", 400, "invalid_json", None),
    ("twice", b'{"model":"fast","model":"fast","messages":[]}', 400, "duplicate_key", "model"),
    ("twice, escaped", b'{"model":"fast","mod\\u0065l":"fast","messages":[]}', 400, "duplicate_key", "model"),
    ("no model", {"messages": USER}, 400, "missing_required_parameter", "model"),
    ("null model", {"model": None, "messages": USER}, 400, "missing_required_parameter", "model"),
    ("no messages", {"model": "fast"}, 400, "missing_required_parameter", "messages"),
    ("model 5", {"model": 5, "messages": USER}, 400, "invalid_value", "model"),
    ("messages text", {"model": "fast", "messages": "hi"}, 400, "invalid_value", "messages"),
    ("no message", {"model": "fast", "messages": []}, 400, "invalid_value", "messages"),
    ("message 1", {"model": "fast", "messages": [1]}, 400, "invalid_value", "messages[0]"),
    (
        "no role",
        {"model": "fast", "messages": [*USER, {"content": "x"}]},
        400,
        "missing_required_parameter",
        "messages[1].role",
    ),
    ("stream yes", ask(stream="yes"), 400, "invalid_value", "stream"),
    ("temperature hot", ask(temperature="hot"), 400, "invalid_value", "temperature"),
    ("n 0", ask(n=0), 400, "invalid_value", "n"),
    ("n 1.5", ask(n=1.5), 400, "invalid_value", "n"),
    ("n above the cap", ask(n=5), 400, "invalid_value", "n"),
    ("max_tokens -1", ask(max_tokens=-1), 400, "invalid_value", "max_tokens"),
    ("max_tokens above the cap", ask(max_tokens=101), 400, "invalid_value", "max_tokens"),
    ("max_completion_tokens", ask(max_completion_tokens=1e9), 400, "invalid_value", "max_completion_tokens"),
    ("tools object", ask(tools={}), 400, "invalid_value", "tools"),
    ("usage word", ask(stream_options={"include_usage": "yes"}), 400, "invalid_value", "stream_options.include_usage"),
    ("chat_template", ask(chat_template="{{ x }}"), 400, "unsupported_parameter", "chat_template"),
    (
        "template argument",
        ask(chat_template_kwargs={"tools_in_user_message": True}),
        400,
        "unsupported_parameter",
        "chat_template_kwargs.tools_in_user_message",
    ),
    ("MODEL beside model", {**ask(), "MODEL": "org/slow"}, 400, "invalid_value", "MODEL"),
    ("usage option", ask(stream_options={"Include_Usage": True}), 400, "invalid_value", "stream_options.Include_Usage"),
    ("Role", {"model": "fast", "messages": [{**USER[0], "Role": "system"}]}, 400, "invalid_value", "messages[0].Role"),
    ("unknown model", ask(model="nope"), 404, "model_not_found", "model"),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
async def test_bodies(
    gateway: Gateway,
    backend: Backend,
    connect: Connect,
    body: bytes | dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    raw = await connect(gateway)
    before = backend.posts
    for _ in range(2):
        response = await raw.chat(body)
        assert (response.status, response.error["code"], response.error["param"]) == (status, code, param)
        assert response.error["type"] == "invalid_request_error"
        assert response.headers["x-should-retry"] == "false"
    # The connection is in a sane state: a good request follows on it.
    assert (await raw.chat(ask())).status == 200
    assert backend.posts == before + 1
    await gateway.settled()
    assert gateway.requests() == {("client_error", "CR"): 2, ("ok", "-D"): 1}


# The names that chat does not know.
COMPLETIONS = dict.fromkeys(("prompt", "suffix", "echo"), ("/v1/completions", {"model": "fast", "prompt": "x"}))
EMBEDDINGS = dict.fromkeys(
    ("input", "encoding_format", "dimensions"), ("/v1/embeddings", {"model": "fast", "input": "x"})
)


async def test_no_known_name_passes_in_another_case(gateway: Gateway, backend: Backend, connect: Connect) -> None:
    raw = await connect(gateway)
    before = backend.posts
    for name in sorted(texts.PARAMETERS):
        path, body = (COMPLETIONS | EMBEDDINGS).get(name, (CHAT, ask()))
        for spelled in {name.upper(), name.title(), name.replace("s", "\N{LATIN SMALL LETTER LONG S}")} - {name}:
            await raw.send(post({**body, spelled: None}, path))
            response = await raw.response()
            error = response.error
            assert (response.status, error["code"], error["param"]) == (400, "invalid_value", spelled)
    assert backend.posts == before


async def test_an_unknown_model_is_told_the_names(gateway: Gateway, connect: Connect) -> None:
    response = await (await connect(gateway)).chat(ask(model="nope"))
    assert response.error["message"].endswith("available models: fast, org/slow")


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (post(ask(), content_type="text/plain"), 415, "unsupported_media_type"),
        (post(ask(), content_encoding="gzip"), 415, "unsupported_media_type"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed"),
        (b"DELETE /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /v1/../admin HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unknown_url"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unknown_url"),
        (b"GET /v1/models/nope HTTP/1.1\r\nhost: x\r\n\r\n", 404, "model_not_found"),
        (post({}, "/v1/responses"), 501, "unsupported_endpoint"),
        (b"NONSENSE\r\n\r\n", 400, "invalid_value"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 9000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 3000, 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n" + (b"x: " + b"a" * 1000 + b"\r\n") * 9 + b"\r\n", 431, "head_too_large"),
    ],
)
async def test_requests(
    gateway: Gateway, backend: Backend, connect: Connect, request_bytes: bytes, status: int, code: str
) -> None:
    before = backend.posts
    raw = await connect(gateway)
    await raw.send(request_bytes)
    response = await raw.response()
    assert (response.status, response.error["code"]) == (status, code)
    if status == 405:
        assert response.headers["allow"] in ("POST", "GET, HEAD")
    assert response.headers.get("x-should-retry") == (None if status == 408 else "false")
    assert backend.posts == before


async def test_other_content_types_of_json_pass(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    for given in ("application/json; charset=utf-8", "Application/JSON", ""):
        assert (await raw.chat(ask(), content_type=given)).status == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_read(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    # Only the head is sent: the answer comes all the same.
    await raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
    response = await asyncio.wait_for(raw.response(), 1)
    assert (response.status, response.error["code"], response.closed) == (413, "request_too_large", True)


async def test_the_client_reads_the_refusal_while_it_is_still_sending(gateway: Gateway, connect: Connect) -> None:
    for _ in range(20):
        raw = await connect(gateway)
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n".encode()
        raw.writer.write(head + b"x" * 4_000_000)
        response = await raw.response()
        assert response.status == 413


async def test_a_chunked_body_over_the_limit(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    await raw.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    for _ in range(20):
        raw.writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    response = await raw.response()
    assert (response.status, response.error["code"]) == (413, "request_too_large")


async def test_a_body_that_is_mostly_framing(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    await raw.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    raw.writer.write(b"0000000000000001\r\nx\r\n" * 60_000)
    response = await raw.response()
    assert (response.status, response.error["code"]) == (413, "request_too_large")
    assert "chunks" in response.error["message"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_behind_small_ones_is_no_framing(backend: Backend, *, chunked: bool) -> None:
    def request(content: str) -> bytes:
        body = json.dumps(ask(content)).encode()
        framing = f"content-length: {len(body)}"
        if chunked:
            framing, body = "transfer-encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode() + body

    # A model list first: what is behind it aiohttp reads too.
    sent = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" + request("hi") * 8 + request("river " * 1_000_000)
    async with gateway_of(config_of(backend)) as gateway:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", gateway.port))
        raw.writer.write(sent)
        assert [(await raw.response()).status for _ in range(10)] == [200] * 10
        raw.abort()


async def test_a_chunked_body_is_read(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    body = json.dumps(ask()).encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    await raw.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode() + pieces)
    assert (await raw.response()).status == 200


async def test_expect_continue(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    request = post(ask(), expect="100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    await raw.send(head + b"\r\n\r\n")
    assert (await raw.head())[0] == 100
    await raw.send(body)
    assert (await raw.response()).status == 200


async def test_a_large_body_under_the_limit_passes(gateway: Gateway, connect: Connect) -> None:
    response = await (await connect(gateway)).chat(ask("river " * 10_000))
    assert response.status == 200


async def test_request_ids(gateway: Gateway, backend: Backend, connect: Connect) -> None:
    raw = await connect(gateway)
    good = await raw.chat(ask(), x_request_id="my-id_1.2")
    assert good.headers["x-request-id"] == "my-id_1.2"
    assert backend.headers["x-request-id"].startswith("my-id_1.2-")
    for bad in ("has space", "x" * 129, "semi;colon"):
        replaced = await raw.chat(ask(), x_request_id=bad)
        assert replaced.status == 200
        assert replaced.headers["x-request-id"] != bad


async def test_nothing_of_the_client_but_the_body_reaches_a_backend(
    gateway: Gateway, backend: Backend, connect: Connect
) -> None:
    raw = await connect(gateway)
    secret = {
        "authorization": "Bearer secret",
        "host": "localhost",
        "origin": "http://localhost",
        "accept_encoding": "gzip",
        "cookie": "a=b",
    }
    await raw.chat(ask(), **secret, x_made_up="1")
    allowed = {"host", "accept", "accept-encoding", "content-type", "content-length", "x-request-id"}
    assert set(backend.headers) == allowed
    assert backend.headers["accept-encoding"] == "identity"


async def test_over_the_connection_limit_only_health_is_answered(backend: Backend, connect: Connect) -> None:
    config = f"""
limits: {{connections: 1}}
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 4}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""
    async with gateway_of(config) as gateway:
        first, second = await connect(gateway), await connect(gateway)
        assert (await first.chat(ask())).status == 200
        await second.send(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await second.response()).status == 200
        refused = await second.chat(ask())
        assert (refused.status, refused.error["code"]) == (503, "connection_limit")
        assert "retry-after" in refused.headers


@pytest.mark.parametrize("path", ["/livez", "/nope", "/v1/models", "/v1/models/fast", CHAT])
async def test_head_has_no_body(gateway: Gateway, connect: Connect, path: str) -> None:
    raw = await connect(gateway)
    await raw.send(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    status, headers = await raw.head()
    assert status == {"/nope": 404, CHAT: 405}.get(path, 200)
    assert int(headers["content-length"]) > 0
    assert (await raw.response()).value == {"status": "ok"}


@pytest.mark.parametrize(("line", "status"), [("no header", 400), ("x: " + "a" * 20_000, 431)])
async def test_a_malformed_head_request_has_no_body_either(
    gateway: Gateway, connect: Connect, line: str, status: int
) -> None:
    raw = await connect(gateway)
    await raw.send(f"HEAD /livez HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n".encode())
    got, headers = await raw.head()
    assert (got, headers["connection"]) == (status, "close")
    assert await raw.reader.read() == b""


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/fast", "/v1/models/org/slow", "/v1/models/none"])
async def test_head_is_get_without_a_body(gateway: Gateway, connect: Connect, path: str) -> None:
    raw = await connect(gateway)
    request = f" {path} HTTP/1.1\r\nhost: x\r\nx-request-id: same\r\n\r\n".encode()
    await raw.send(b"GET" + request)
    got = await raw.response()
    await raw.send(b"HEAD" + request + b"GET" + request)
    status, headers = await raw.head()
    again = await raw.response()
    assert (status, headers | {"date": ""}) == (got.status, got.headers | {"date": ""})
    assert again.body == got.body


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/chat/completions", CHAT),
        ("/v1/chat/completion", CHAT),
        ("/v1/chat/completions/", CHAT),
        ("/V1/Chat/Completions", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("/v1/model", "/v1/models"),
        ("/models", "/v1/models"),
        ("/embeddings", "/v1/embeddings"),
        ("/healthz", "/health"),
        ("/ready", "/readyz"),
        ("/%ff", None),
        ("/" + "x" * 5000, None),
    ],
)
async def test_an_unknown_path_names_the_nearest(
    gateway: Gateway, connect: Connect, path: str, nearest: str | None
) -> None:
    raw = await connect(gateway)
    await raw.send(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode("latin-1"))
    response = await raw.response()
    assert (response.status, response.error["code"]) == (404, "unknown_url")
    named = response.error["message"].rpartition("the nearest path is ")[2]
    assert named == nearest if nearest is not None else named.startswith("/")
    assert len(response.body) < 1000


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"content-type": "text/plain"}, ("content-type", "application/json", "text/plain")),
        ({"content-type": "application/x-www-form-urlencoded"}, ("content-type", "application/json", "urlencoded")),
        ({"content-type": "a\xff\xfe" * 5}, ("content-type", "application/json")),
        ({"content-encoding": "gzip"}, ("content-encoding", "gzip")),
    ],
    ids=str,
)
async def test_a_wrong_header_is_named(
    gateway: Gateway, connect: Connect, headers: dict[str, str], named: tuple[str, ...]
) -> None:
    raw = await connect(gateway)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    await raw.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{lines}content-length: 2\r\n\r\n{{}}".encode("latin-1"))
    response = await raw.response()
    assert (response.status, response.error["code"]) == (415, "unsupported_media_type")
    assert all(word in response.error["message"] for word in named)
    assert len(response.body) < 1000


async def test_a_client_that_leaves_while_it_sends(
    gateway: Gateway, connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = await connect(gateway)
    await raw.send(post(ask("x" * 1000))[:-500])
    await asyncio.sleep(0.05)
    raw.abort()
    await asyncio.sleep(0.1)
    assert gateway.requests() == {("client_abort", "CR"): 1}
    gateway.service.log_writer.close()
    assert "Traceback" not in capfd.readouterr().out


async def test_every_refused_inference_request_counts(gateway: Gateway, connect: Connect) -> None:
    for request in (
        post(ask(), **{f"x{n}": "y" * 1000 for n in range(9)}),
        post(ask(), content_type="text/plain"),
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n".encode(),
        post({}, "/v1/responses"),
    ):
        raw = await connect(gateway)
        await raw.send(request)
        await raw.response()
    assert gateway.requests() == {("client_error", "CR"): 4}


async def test_http_1_0_keep_alive_is_said(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    for _ in range(2):
        await raw.send(b"GET /v1/models HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n")
        assert (await raw.response()).headers["connection"] == "keep-alive"


@pytest.mark.parametrize("header", ["x-request-id", "x-session-id", "x-tenant"])
async def test_header_bytes_that_are_no_text(header: str, backend: Backend, connect: Connect) -> None:
    config = "access: {tenant_header: x-tenant}\ntrusted_proxies: [127.0.0.1]\n" + config_of(backend)
    async with gateway_of(config) as gateway:
        raw = await connect(gateway)
        await raw.send(post(ask()).replace(b"\r\n", f"\r\n{header}: ".encode() + b"a\xff\xfe\r\n", 1))
        response = await raw.response()
        assert response.status == 200
        assert response.headers["x-request-id"].startswith("req-")
