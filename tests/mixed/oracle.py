"""What may become of a request, by what its attempts have met.

A request fails only for reasons that the backends have given it: the book knows every attempt, so each status and code
is held against what really happened, and an answer against the text of the one attempt that gave it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.mixed.book import Ask, Attempt
from tests.mixed.chat import require, same
from tests.mixed.fault import Fault
from tests.mixed.services import SERVICES

WELL = frozenset(act.__name__ for act in SERVICES)
# Failures before anything has reached the client, which another backend may mend; the code if none does.
RETRIED: dict[str, str] = {
    "die": "upstream_reset",
    "hang_up": "upstream_reset",
    "die_late": "upstream_reset",
    "hang_up_late": "upstream_reset",
    "half_head": "upstream_reset",
    "cut_early": "upstream_truncated",
    "bad_gateway": "upstream_error",
}
# What no further attempt follows: the code, as a status or within the stream.
FINAL = {
    "internal": "upstream_error",
    "garbled": "upstream_garbage",
    "echo": "invalid_value",
    "cut_stream": "upstream_truncated",
    "garbled_stream": "upstream_garbage",
    "error_event": "upstream_error",
    "stall_stream": "upstream_stalled",
}
MOST_BOUNCES = 2
MOST_ATTEMPTS = 2
RESET = "upstream_reset"
Codes = tuple[str | None, ...]


@dataclass
class Outcome:
    """What a client has seen: a good answer if there is no code."""

    code: str | None
    # Part of the answer came first.
    is_begun: bool = False
    contents: list[str] = field(default_factory=list)
    usage: Any = None
    backend: str | None = None

    @property
    def is_good(self) -> bool:
        return self.code is None

    def __str__(self) -> str:
        return "ok" if self.code is None else f"{'begun, then ' if self.is_begun else ''}{self.code}"


def judge(ask: Ask, outcome: Outcome) -> None:
    """Hold the outcome of a request whose client stayed against its attempts.

    Raises:
        Fault: it should have ended otherwise.
    """
    if not ask.attempts:
        raise Fault(f"expected an answer, got {outcome} although no backend was asked: {ask}")
    last = ask.attempts[-1]
    for attempt, following in pairwise(ask.attempts):
        require(may_be_followed(ask, attempt), f"no attempt behind {attempt}", str(ask))
        if has_failed(attempt):
            require(following.backend != attempt.backend, f"another backend behind {attempt}", str(ask))
    if outcome.is_good or outcome.is_begun:
        require(outcome.backend == last.backend, f"x-penstock-backend {last.backend}", (outcome.backend, str(ask)))
        _judge_content(ask, last, outcome)
    allowed = allowed_codes(ask, last, outcome.is_begun)
    if outcome.is_begun and outcome.code is not None:
        require(last.has_told, "a failure as a status, as nothing was sent", (str(outcome), str(ask)))
    if outcome.code not in allowed:
        wanted = " or ".join(str(code or "a good answer") for code in allowed) or "another attempt"
        raise Fault(f"expected {wanted}, got {outcome}: {ask}")


def may_be_followed(ask: Ask, attempt: Attempt) -> bool:
    """Whether another attempt may follow this one."""
    if attempt.end == "restarted" or attempt.may_be_lost:
        return True
    # Of a reset nobody knows whether the client had something before it.
    return (
        attempt.word in RETRIED or attempt.word in ("full", "reset_stream") or (attempt.word == "stall" and ask.stream)
    )


def has_failed(attempt: Attempt) -> bool:
    """Whether it is sure that the backend has failed the request, and not merely a connection that was stale."""
    # A reset may overtake what was sent before it, and then a connection that was kept looks stale.
    has_told = (attempt.has_begun or attempt.is_late) and attempt.end != "restarted"
    return attempt.word != "full" and (not attempt.reused or has_told)


def allowed_codes(ask: Ask, last: Attempt, is_begun: bool) -> Codes:
    """Return the codes that the request may end with, before or behind a part of its answer; None is a good one."""
    word = last.word
    # A reset may overtake what was sent, and then nothing has begun.
    by_reset: Codes = (RESET,) if is_begun else _given_up(ask, RESET)
    if last.end == "restarted" or word == "reset_stream":
        allowed: Codes = by_reset
    elif word in WELL:
        allowed = (None,)
    elif word in FINAL:
        allowed = (FINAL[word],)
    elif word == "full":
        bounces = sum(attempt.word == "full" for attempt in ask.attempts)
        allowed = ("upstream_overloaded",) if bounces > MOST_BOUNCES else ()
    elif word == "stall":
        allowed = ("upstream_timeout",) if ask.stream else ("deadline_exceeded",)
    else:
        allowed = _given_up(ask, RETRIED[word])
    # Where nothing has begun, the last attempt may be one that a backend never saw, as it died before.
    is_unsure = last.may_be_lost or (bool(ask.died) and not is_begun)
    return (*allowed, *by_reset) if is_unsure else allowed


def _given_up(ask: Ask, code: str) -> Codes:
    """Return this code if it was right to give up: two attempts at different backends have failed."""
    failed = [attempt for attempt in ask.attempts if attempt.word != "full"]
    # One stale connection is no attempt; how many more of them are borne is not said.
    counted = len(failed) - any(attempt.is_stale for attempt in failed)
    counted += len(ask.died)
    tried = {attempt.backend for attempt in failed} | ask.died
    is_right = counted >= MOST_ATTEMPTS and len(tried) > 1
    return (code,) if is_right else ()


def _judge_content(ask: Ask, last: Attempt, outcome: Outcome) -> None:
    require(len(outcome.contents) == ask.choices, f"{ask.choices} choices", (len(outcome.contents), str(ask)))
    for index, content in enumerate(outcome.contents):
        told = last.told[index]
        what = f"content of choice {index} of {ask}"
        if outcome.is_good:
            same(what, content, told)
        elif (
            last.word in ("cut_stream", "error_event", "garbled_stream")
            and last.end in ("died", "answered")
            and not last.may_be_lost
        ):
            # What was sent before an orderly end has come.
            same(what, content, told)
        else:
            same(what, content, told[: len(content)])
    if outcome.is_good and (not ask.stream or ask.include_usage):
        require(outcome.usage == last.usage, f"usage {last.usage}", (outcome.usage, str(ask)))
