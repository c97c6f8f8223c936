"""Requests that try to be read in two ways (RFC 9112 §5 to §7).

Nearly all carry a second request behind or within the first. Where the first is refused, nothing of the second may
reach a backend: whoever cannot tell where a request ends must not guess where the next begins.
"""

from __future__ import annotations

from tests.faults.abuse import (
    BODY,
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
    SERVED,
    SIZE,
    abuse,
    bytewise,
    refused,
    request_of,
    served,
)

NO_LENGTHS = (
    *("", "-1", "-0", f"+{SIZE}", hex(SIZE), "5 5", "1_0", f"{SIZE}.0", "1e2", f"{SIZE},", f"{SIZE}, {SIZE}"),
    *(f"{SIZE};", "\xb2", str(2**64), str(2**64 + SIZE)),
)
NO_CODINGS = (
    *("identity", "gzip", "xchunked", "\x0bchunked", "", '"chunked"', "chunked;a=b", "chunked, chunked"),
    *("chunked, identity", "chunked, gzip"),
)
NO_SIZES = ("", "zz", "-1", "+5", f"0x{SIZE:x}", "5 5", "1_0", f"{SIZE:x} ", f" {SIZE:x}", "1" + "0" * 16)


def _length(value: str) -> bytes:
    return request_of(f"content-length: {value}") + NEXT


def _coding(value: str) -> bytes:
    return request_of(f"transfer-encoding: {value}", body=CHUNKS) + NEXT


def _chunk(size: str, end: bytes = b"\r\n0\r\n\r\n") -> bytes:
    return request_of(CHUNKED, body=size.encode("latin-1") + b"\r\n" + BODY + end) + NEXT


LENGTHS = [
    *(refused(f"length {value!r}", _length(value)) for value in NO_LENGTHS),
    *(
        refused(f"length {value}", _length(value), answer="413 request_too_large")
        for value in ("65537", "9" * 15, str(2**63))
    ),
    served("leading zeros", request_of(f"content-length: 000{SIZE}")),
    served("20 digits", request_of(f"content-length: {SIZE:020}")),
    served("blanks around the length", request_of(f"content-length: \t {SIZE} \t")),
    refused("twice the same", request_of(LENGTH, LENGTH) + NEXT),
    refused("two lengths", request_of(LENGTH, f"content-length: {SIZE + len(NEXT)}") + NEXT),
    refused("two lengths, the other way round", request_of("content-length: 0", LENGTH) + NEXT),
    refused("length and chunks", request_of(LENGTH, CHUNKED, body=CHUNKS) + NEXT),
    refused("chunks and length", request_of(CHUNKED, LENGTH, body=CHUNKS) + NEXT),
    refused(
        "a request that the length counts and the chunks do not",
        request_of(f"content-length: {5 + len(NEXT)}", CHUNKED, body=b"0\r\n\r\n" + NEXT),
    ),
    abuse("no length is no body", request_of(body=b"") + NEXT, answers=("400 invalid_json", SERVED), reached=(INNER,)),
    abuse("a body without a length", request_of(), answers=("400 invalid_json", MALFORMED), end="closed"),
    abuse(
        "too short a length",
        request_of(f"content-length: {SIZE - 1}"),
        answers=("400 invalid_json", MALFORMED),
        end="closed",
    ),
    abuse(
        "a body that looks like a request",
        request_of(f"content-length: {len(NEXT)}", body=NEXT),
        answers=("400 invalid_json",),
    ),
]

CODINGS = [
    *(refused(f"coding {value!r}", _coding(value)) for value in NO_CODINGS),
    *(
        refused(f"coding {value!r} and a length", request_of(LENGTH, f"transfer-encoding: {value}") + NEXT)
        for value in (*NO_CODINGS, "Chunked", "gzip, chunked")
    ),
    refused("chunked twice", request_of(CHUNKED, CHUNKED, body=CHUNKS) + NEXT),
    refused("chunked, then identity", request_of(CHUNKED, "transfer-encoding: identity", body=CHUNKS) + NEXT),
    served("Chunked", _coding("Chunked"), reached=BOTH),
    served("TE is no framing", request_of(LENGTH, "te: identity")),
    served("TE: trailers", request_of(LENGTH, "te: trailers", "connection: te")),
]

SIZES = [
    *(refused(f"chunk size {size!r}", _chunk(size)) for size in NO_SIZES),
    refused("the data is shorter", _chunk(f"{SIZE + 1:x}")),
    refused("the data is longer", _chunk(f"{SIZE - 1:x}")),
    refused("no line end behind the data", _chunk(f"{SIZE:x}", end=b"0\r\n\r\n")),
    refused("bare LF behind the size", request_of(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n", 1)) + NEXT),
    refused("bare LFs in the chunks", request_of(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n")) + NEXT),
    refused("bare LF in an extension", _chunk(f"{SIZE:x};a\n{SIZE:x}")),
    refused("bare CR in an extension", _chunk(f"{SIZE:x};a\rb")),
    served("leading zeros", _chunk(f"000{SIZE:x}"), reached=BOTH),
    served("extensions", _chunk(f'{SIZE:x};a=b;c="d"', end=b"\r\n0;x\r\n\r\n"), reached=BOTH),
    served("a trailer is dropped", _chunk(f"{SIZE:x}", end=b"\r\n0\r\nx-t: 1\r\n\r\n"), reached=BOTH),
    refused("a trailer that frames", _chunk(f"{SIZE:x}", end=b"\r\n0\r\ncontent-length: 5\r\n\r\n")),
    refused("a trailer without a colon", _chunk(f"{SIZE:x}", end=b"\r\n0\r\nx t\r\n\r\n")),
    refused("bare LF in a trailer", _chunk(f"{SIZE:x}", end=b"\r\n0\r\nx: t\n\n")),
    *(
        refused(name, _chunk(f"{SIZE:x}", end=b"\r\n0\r\n" + trailers + b"\r\n"), answer=HEAD_TOO_LARGE)
        for name, trailers in (
            ("a huge trailer", b"x: " + b"a" * 9000 + b"\r\n"),
            ("many trailers", b"x: a\r\n" * 3000),
        )
    ),
    served(
        "chunks of one byte",
        request_of(CHUNKED, body=b"".join(b"1\r\n%b\r\n" % byte for byte in bytewise(BODY)) + b"0\r\n\r\n") + NEXT,
        reached=BOTH,
    ),
    served("chunks, byte by byte", *bytewise(request_of(CHUNKED, body=CHUNKS) + NEXT), reached=BOTH),
]

LINES = [
    refused("a folded header", request_of(LENGTH, "x-a: b\r\n c") + NEXT),
    refused("a folded length", request_of(f"content-length:\r\n {SIZE}") + NEXT),
    refused("a fold in front of all", request_of(" x-a: b", LENGTH) + NEXT),
    refused("bare LFs", request_of(LENGTH).replace(b"\r\n", b"\n") + NEXT),
    refused("one bare LF", request_of(LENGTH, "x-a: b\nx-b: c") + NEXT),
    refused("a bare LF hides a header", request_of(LENGTH, "x-a: b\ntransfer-encoding: chunked") + NEXT),
    refused("a bare LF before the body", request_of(LENGTH).replace(b"\r\n\r\n", b"\r\n\n") + NEXT),
    refused("a bare CR", request_of(LENGTH, "x-a: b\rc") + NEXT),
    refused("a bare CR hides a header", request_of("content-length: 0", f"x-a: b\r{LENGTH}") + NEXT),
    refused("blank before the colon", request_of(f"content-length : {SIZE}") + NEXT),
    refused("blank before another colon", request_of(LENGTH, "x-a : b") + NEXT),
    refused("tab before the colon", request_of(LENGTH, "x-a\t: b") + NEXT),
    refused("blank in a name", request_of(LENGTH, "x a: b") + NEXT),
    refused("no colon", request_of(LENGTH, "x-a") + NEXT),
    refused("no name", request_of(LENGTH, ": b") + NEXT),
    served("blank lines in front", b"\r\n\r\n" + GOOD),
    served("a blank line between two", GOOD + b"\r\n" + NEXT, reached=BOTH),
]

CONTROLS = [
    *(
        refused(f"{byte:#04x} in a value", request_of(LENGTH, f"x-a: b{chr(byte)}c") + NEXT)
        for byte in (0, 1, 8, 11, 12, 31, 127)
    ),
    *(refused(f"{byte:#04x} in a name", request_of(LENGTH, f"x{chr(byte)}a: b") + NEXT) for byte in (0, 9, 127, 255)),
    *(
        refused(f"{byte:#04x} in the target", request_of(LENGTH, line=CHAT.replace("ions", f"ions{chr(byte)}")) + NEXT)
        for byte in (0, 9, 127, 255)
    ),
    served("a tab in a value", request_of(LENGTH, "x-a: b\tc")),
    served("obs-text in a value", request_of(LENGTH, "x-a: b\xffc")),
    refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))),
]
