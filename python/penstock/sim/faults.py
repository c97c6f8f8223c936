"""The ways in which the simulated server can misbehave, for tests of the gateway in front of it.

One is chosen for a request by its header ``x-sim-fault``, else for all by the server's ``fault``. Every fault has a
meaning for streams and for whole answers: where a whole answer has no events, its body takes their place.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ERROR_MESSAGE", "GARBAGE", "MEANINGS", "MID", "SLOW_BYTES", "SLOW_SECONDS", "STATUSES", "STUCK", "Fault"]


class Fault(StrEnum):
    """The name of a fault; MEANINGS says what it does."""

    REFUSE = "refuse"
    HANG = "hang"
    RESET_BEFORE_HEAD = "reset-before-head"
    CLOSE_BEFORE_HEAD = "close-before-head"
    HALF_HEAD = "half-head"
    GARBAGE_HEAD = "garbage-head"
    STATUS_500 = "status-500"
    STATUS_503_LOADING = "status-503-loading"
    STATUS_429 = "status-429"
    STALL_BEFORE_EVENT = "stall-before-event"
    ERROR_FIRST_EVENT = "error-first-event"
    GARBAGE_EVENT = "garbage-event"
    OVERSIZE_EVENT = "oversize-event"
    STALL_MID_STREAM = "stall-mid-stream"
    RESET_MID_STREAM = "reset-mid-stream"
    EOF_MID_STREAM = "eof-mid-stream"
    TRUNCATED_BODY = "truncated-body"
    ERROR_MID_STREAM = "error-mid-stream"
    BARE_DONE = "bare-done"
    NO_FINISH_BODY = "no-finish-body"
    DONE_THEN_OPEN = "done-then-open"
    JSON_FOR_STREAM = "json-for-stream"
    SLOW_BODY = "slow-body"


MEANINGS: dict[Fault, str] = {
    Fault.REFUSE: "reset the connection as soon as it is accepted (by header: when the request is read)",
    Fault.HANG: "read the request and say nothing",
    Fault.RESET_BEFORE_HEAD: "read the request, then reset the connection",
    Fault.CLOSE_BEFORE_HEAD: "read the request, then close the connection",
    Fault.HALF_HEAD: "half a head, then silence",
    Fault.GARBAGE_HEAD: "bytes that are no HTTP, then close",
    Fault.STATUS_500: "500 in the dialect's error form",
    Fault.STATUS_503_LOADING: "503, the model is still loading",
    Fault.STATUS_429: "429 with Retry-After: 2",
    Fault.STALL_BEFORE_EVENT: "the head, then silence",
    Fault.ERROR_FIRST_EVENT: "200, and the first event (or the body) is an error",
    Fault.GARBAGE_EVENT: "an event (or a body) that is not JSON, then the proper end of the answer",
    Fault.OVERSIZE_EVENT: "an event (or a body) that never ends",
    Fault.STALL_MID_STREAM: "half of the answer, then silence",
    Fault.RESET_MID_STREAM: "half of the answer, then reset the connection",
    Fault.EOF_MID_STREAM: "half of the stream, then the last chunk as if all were well (a body: half of it)",
    Fault.TRUNCATED_BODY: "half of the answer, then close without the end that its framing promised",
    Fault.ERROR_MID_STREAM: "half of the stream, then an error event (a body: an error)",
    Fault.BARE_DONE: "[DONE] without any finish_reason",
    Fault.NO_FINISH_BODY: "a whole answer with finish_reason null (a stream: it ends without finish_reason and [DONE])",
    Fault.DONE_THEN_OPEN: "[DONE] but no last chunk: the answer stays open (a body: the same as no fault)",
    Fault.JSON_FOR_STREAM: "a whole JSON answer though a stream was asked for",
    Fault.SLOW_BODY: "the answer in pieces of a few bytes",
}

STATUSES: dict[Fault, tuple[int, str]] = {
    Fault.STATUS_500: (500, "The engine has lost its footing."),
    Fault.STATUS_503_LOADING: (503, "Loading model"),
    Fault.STATUS_429: (429, "Too many requests are waiting."),
}
"""The faults that are a regular error answer: status and message."""

MID = frozenset(
    {
        Fault.STALL_MID_STREAM,
        Fault.RESET_MID_STREAM,
        Fault.EOF_MID_STREAM,
        Fault.TRUNCATED_BODY,
        Fault.ERROR_MID_STREAM,
    }
)
"""The faults that strike after half of the answer."""

STUCK = frozenset(
    {
        Fault.HANG,
        Fault.HALF_HEAD,
        Fault.STALL_BEFORE_EVENT,
        Fault.STALL_MID_STREAM,
        Fault.OVERSIZE_EVENT,
    }
)
"""The faults whose request keeps its places in the engine until the peer leaves."""

ERROR_MESSAGE = "The engine died while it was answering."
GARBAGE = b'{"id":"chatcmpl-\xff\xfe","choices":[{"delta":'
"""Neither UTF-8 nor JSON."""
SLOW_BYTES = 16
SLOW_SECONDS = 0.002
"""Size of a piece of a slow body, and the pause after it: 8 kB/s."""
