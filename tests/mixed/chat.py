"""What a chat answer has to be, whole and streamed, and what an error has to be: read strictly, from the OpenAI API."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.mixed.fault import Fault, excerpt
from tests.mixed.reader import Answer

ID = re.compile(r"chatcmpl-[0-9a-f]{32}")
EVENT = b"data: "
DONE = "[DONE]"
BAD, SERVER, RATE = "invalid_request_error", "server_error", "rate_limit_error"
# Every error there is: status and type.
CODES = {
    **dict.fromkeys(("invalid_json", "duplicate_key", "missing_required_parameter", "invalid_value"), (400, BAD)),
    **dict.fromkeys(("unsupported_parameter", "context_length_exceeded"), (400, BAD)),
    **dict.fromkeys(("model_not_found", "unknown_url"), (404, BAD)),
    "origin_not_allowed": (403, "permission_error"),
    "method_not_allowed": (405, BAD),
    "request_timeout": (408, BAD),
    "request_too_large": (413, BAD),
    "unsupported_media_type": (415, BAD),
    "head_too_large": (431, BAD),
    **dict.fromkeys(("queue_full", "deadline_unmeetable", "queue_timeout", "upstream_overloaded"), (429, RATE)),
    "internal_error": (500, SERVER),
    "unsupported_endpoint": (501, SERVER),
    **dict.fromkeys(("upstream_connect", "upstream_reset", "upstream_truncated", "upstream_garbage"), (502, SERVER)),
    **dict.fromkeys(("upstream_too_large", "upstream_error", "upstream_ignored_parameter"), (502, SERVER)),
    **dict.fromkeys(("no_backend", "draining", "connection_limit"), (503, SERVER)),
    **dict.fromkeys(("upstream_timeout", "upstream_stalled", "deadline_exceeded"), (504, SERVER)),
}


def json_of(text: bytes | bytearray | str) -> Any:
    """Return the value of a strict JSON text: no key twice, no NaN."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError(f"a key twice among {[name for name, _ in pairs]}")
        return dict(pairs)

    def none(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=none)
    except ValueError as error:
        at = getattr(error, "pos", 0)
        data = text.encode() if isinstance(text, str) else bytes(text)
        raise Fault(f"expected JSON: {error}", data, at) from None


def require(holds: bool, expected: str, got: Any) -> None:
    if not holds:
        raise Fault(f"expected {expected}, got {got!r:.600}")


def same(what: str, got: str, wanted: str) -> None:
    """Hold a text against the wanted one and show the first difference."""
    if got == wanted:
        return
    at = next((at for at, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other), None)
    at = min(len(got), len(wanted)) if at is None else at
    wanted_there = excerpt(wanted.encode(), len(wanted[:at].encode()))
    raise Fault(f"{what} differs; wanted:\n{wanted_there}\n    got:", got.encode(), len(got[:at].encode()))


def check_error(value: Any, status: int | None) -> str:
    """Check an error object; `status` is None in a stream. Return its code."""
    require(isinstance(value, dict) and set(value) == {"error"}, "an object with the key error alone", value)
    error = value["error"]
    keys = {"message", "type", "param", "code"}
    require(isinstance(error, dict) and set(error) == keys, "an error with its four keys", error)
    code, kind = error["code"], error["type"]
    require(code in CODES, "a known error code", error)
    require(kind == CODES[code][1], f"type {CODES[code][1]} for {code}", error)
    require(status in (None, CODES[code][0]), f"status {CODES[code][0]} for {code}", (status, error))
    require(isinstance(error["message"], str) and error["message"] != "", "a message", error)
    require(error["param"] is None or isinstance(error["param"], str), "a param that is null or a name", error)
    return str(code)


def error_of(answer: Answer) -> str:
    """Return the code of an answer that is an error, checked with its headers."""
    require(answer.headers.get("content-type") == "application/json", "application/json", answer.headers)
    code = check_error(json_of(answer.body), answer.status)
    if answer.status in (429, 503):
        seconds, ms = answer.headers.get("retry-after", ""), answer.headers.get("retry-after-ms", "")
        require(seconds.isdigit() and int(seconds) >= 1, "retry-after in whole seconds", answer.headers)
        require(ms.isdigit() and int(ms) <= int(seconds) * 1000, "retry-after-ms within retry-after", answer.headers)
    return code


def check_whole(answer: Answer, model: str) -> tuple[str, list[str], Any]:
    """Check a whole answer. Return its id, the content of each choice, and its usage."""
    require(answer.headers.get("content-type") == "application/json", "application/json", answer.headers)
    value = json_of(answer.body)
    require(isinstance(value, dict), "an object", value)
    check_identity(value, "chat.completion", model)
    choices = value["choices"]
    require([choice["index"] for choice in choices] == list(range(len(choices))), "choices in order", value)
    for choice in choices:
        require(choice["finish_reason"] == "stop", "finish_reason stop", choice)
        require(choice["message"]["role"] == "assistant", "the role assistant", choice)
    return value["id"], [choice["message"]["content"] for choice in choices], value.get("usage")


def check_identity(value: dict[str, Any], kind: str, model: str) -> None:
    keys = {"id", "object", "created", "model", "choices"}
    require(keys <= set(value) <= keys | {"usage"}, f"the keys {sorted(keys)}", value)
    require(isinstance(value["id"], str) and bool(ID.fullmatch(value["id"])), "an id of Penstock's own", value)
    require(value["object"] == kind, f"object {kind}", value)
    require(value["model"] == model, f"model {model}", value)
    require(isinstance(value["created"], int) and value["created"] > 1_700_000_000, "a time of creation", value)
