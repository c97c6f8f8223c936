"""Requests whose line, Host, size or timing is abuse (RFC 9112 §2, §3 and §9)."""

from __future__ import annotations

from tests.conftest import ask, post
from tests.faults.abuse import (
    BOTH,
    CHAT,
    CHUNKED,
    CHUNKS,
    GOOD,
    HEAD_TOO_LARGE,
    INNER,
    LENGTH,
    MALFORMED,
    NEXT,
    OLD,
    OUTER,
    SERVED,
    abuse,
    bytewise,
    refused,
    request_of,
    served,
    unheard,
)

PATH = "/v1/chat/completions"
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE_CONTENT = "x" * 60_000
LARGE = post(ask(LARGE_CONTENT))
NO_VERSIONS = ("", "HTTP/1.2", "HTTP/3", "HTTP/1", "HTTP/1.10", "HTTP/01.1", "HTTP/ 1.1", "XTTP/1.1", "http/1.1")

HOSTS = [
    refused("no Host", request_of(LENGTH, host=None) + NEXT),
    refused("two Hosts", request_of(LENGTH, "host: y") + NEXT),
    refused("twice the same Host", request_of(LENGTH, "host: x") + NEXT),
    # RFC 3986 §3.2.2: a registered name may be empty.
    *(served(f"Host {host!r}", request_of(LENGTH, host=f"host: {host}")) for host in ("", "[::1]:80", "a,b", "x:")),
    served("HTTP/1.0 needs none", request_of(LENGTH, host=None, line=OLD), end="closed"),
]

TARGETS = [
    *(
        refused(f"method {name}", request_of(LENGTH, line=CHAT.replace("POST", name)))
        for name in ("post", "Post", "BREW")
    ),
    *(refused(f"version {name!r}", request_of(LENGTH, line=CHAT.replace("HTTP/1.1", name))) for name in NO_VERSIONS),
    refused("a word too many", request_of(LENGTH, line=f"{CHAT} x") + NEXT),
    refused("a tab between method and target", request_of(LENGTH, line=CHAT.replace(" ", "\t", 1)) + NEXT),
    refused("a blank in front", request_of(LENGTH, line=f" {CHAT}") + NEXT),
    refused("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("authority form", request_of(LENGTH, line=CHAT.replace(PATH, "x:80")) + NEXT),
    *(
        abuse(f"target {target}", request_of(LENGTH, line=CHAT.replace(PATH, target)), answers=("404 unknown_url",))
        for target in (
            f"/{PATH}",
            f"/v1/../v1{PATH[3:]}",
            f"/./{PATH[1:]}",
            f"{PATH}/",
            f"{PATH};x",
            "/V1/chat/completions",
        )
    ),
    abuse("target *", b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", answers=("404 unknown_url",)),
    abuse(
        "CONNECT",
        b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n" + NEXT,
        answers=("404 unknown_url", SERVED),
        reached=(INNER,),
    ),
    served("a query", request_of(LENGTH, line=CHAT.replace(PATH, f"{PATH}?/v1/models HTTP/1.0".replace(" ", "%20")))),
]

# `limits.head` is 8 KiB.
SIZES = [
    refused("a huge line", request_of(LENGTH, line=CHAT.replace(PATH, "/" + "a" * 9000)) + NEXT, answer=HEAD_TOO_LARGE),
    refused("a huge header", request_of(LENGTH, "x-a: " + "a" * 9000) + NEXT, answer=HEAD_TOO_LARGE),
    refused("a huge name", request_of(LENGTH, "x" * 9000 + ": a") + NEXT, answer=HEAD_TOO_LARGE),
    refused("much in all", request_of(LENGTH, *["x-a: " + "a" * 1000] * 9) + NEXT, answer=HEAD_TOO_LARGE),
    refused("an endless head", request_of(LENGTH, body=b"")[:-2] + b"x-a: b\r\n" * 3000, answer=HEAD_TOO_LARGE),
    refused("many headers", request_of(LENGTH, *["x-a: b"] * 200) + NEXT, answer=HEAD_TOO_LARGE),
    served("100 headers", request_of(LENGTH, *["x-a: b"] * 100)),
]

MANNERS = [
    abuse(
        "Expect, then the body",
        request_of(LENGTH, "expect: 100-continue", body=b""),
        GOOD.partition(b"\r\n\r\n")[2],
        answers=("100", SERVED),
        reached=(OUTER,),
        pause=0.05,
    ),
    abuse("Expect with a body", request_of(LENGTH, "expect: 100-continue"), answers=("100", SERVED), reached=(OUTER,)),
    refused(
        "Expect of what is refused",
        request_of(LENGTH, "expect: 100-continue", "content-type: text/plain", body=b""),
        answer="415 unsupported_media_type",
    ),
    # RFC 9110 §7.8: nobody has to switch.
    served("Upgrade", request_of(LENGTH, "connection: upgrade", "upgrade: h2c")),
    served("behind an upgrade", request_of(LENGTH, "connection: upgrade", "upgrade: h2c") + NEXT, reached=BOTH),
    served("Upgrade that connection does not name", request_of(LENGTH, "upgrade: h2c") + NEXT, reached=BOTH),
    served(
        "Upgrade to WebSocket", request_of(LENGTH, "connection: upgrade", "upgrade: websocket") + NEXT, reached=BOTH
    ),
    abuse(
        "an upgrade without a body",
        LIVEZ.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n") + NEXT,
        answers=(SERVED, SERVED),
        reached=(INNER,),
    ),
    served("what is behind a close", request_of(LENGTH, "connection: close"), end="closed"),
    served("behind a close", request_of(LENGTH, "connection: close") + NEXT, end="closed"),
]

PIPELINES = [
    served("two", GOOD + NEXT, reached=BOTH),
    served("two, cut within the second", (GOOD + NEXT)[:-20], NEXT[-20:], reached=BOTH),
    served("two, byte by byte", *bytewise(GOOD + NEXT), reached=BOTH),
    served("a request as content", post(ask(NEXT.decode())), reached=(NEXT.decode(),)),
    abuse("another path between", GOOD + LIVEZ + NEXT, answers=(SERVED, SERVED, SERVED), reached=BOTH),
    abuse(
        "chunks between", GOOD + request_of(CHUNKED, body=CHUNKS) + NEXT, answers=(SERVED,) * 3, reached=(OUTER, *BOTH)
    ),
    abuse(
        "refusals between",
        GOOD + post(ask(model="nope")) + NEXT,
        answers=(SERVED, "404 model_not_found", SERVED),
        reached=BOTH,
    ),
    abuse("much behind another path", GOOD + LIVEZ * 3000 + NEXT, answers=(SERVED,) * 3002, reached=BOTH),
    served("large ones", LARGE * 3 + NEXT, reached=(LARGE_CONTENT,) * 3 + (INNER,)),
    abuse(
        "one malformed",
        GOOD,
        b"NONSENSE\r\n\r\n" + NEXT,
        answers=(SERVED, MALFORMED),
        end="closed",
        reached=(OUTER,),
        pause=0.05,
    ),
    abuse(
        "one malformed, at once",
        GOOD + b"NONSENSE\r\n\r\n" + NEXT,
        answers=(SERVED, MALFORMED),
        end="closed",
        reached=(OUTER,),
    ),
    abuse(
        "a smuggler behind a good one",
        GOOD + request_of(LENGTH, CHUNKED, body=CHUNKS) + NEXT,
        answers=(SERVED, MALFORMED),
        end="closed",
        reached=(OUTER,),
    ),
]

TIMING = [
    served("byte by byte", *bytewise(GOOD)),
    unheard("half-closed at once", pause=0),
    unheard("half-closed in the line", GOOD[:9]),
    unheard("half-closed in the head", GOOD[:60]),
    unheard("half-closed before the body", request_of(LENGTH, body=b"")),
    unheard("half-closed in the body", GOOD[:-40]),
    unheard("half-closed in a chunk", request_of(CHUNKED, body=CHUNKS[:-20])),
    unheard("half-closed before the last chunk", request_of(CHUNKED, body=CHUNKS[:-5])),
    unheard("half-closed while it is answered", GOOD, reached=(OUTER,)),
    unheard("half-closed with another behind", GOOD + NEXT, reached=(OUTER,)),
    unheard("half-closed with half another behind", GOOD + NEXT[:-40], reached=(OUTER,)),
]
