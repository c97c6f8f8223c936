"""A chat answer, from its bytes to the verdict on it."""

from __future__ import annotations

from tests.mixed.book import Ask, Book
from tests.mixed.chat import check_whole, error_of, require
from tests.mixed.fault import Fault
from tests.mixed.oracle import Outcome, judge
from tests.mixed.reader import Answer
from tests.mixed.stream import Stream


def settle(book: Book, ask: Ask, answer: Answer) -> None:
    """Hold a whole answer against its request.

    Raises:
        Fault: it is not the answer that this request has to get.
    """
    book.answered += 1
    ask.close()
    try:
        outcome = outcome_of(book, ask, answer)
        require(answer.headers.get("x-request-id") == ask.marker, f"x-request-id {ask.marker}", answer.headers)
        require(not answer.closes, "a connection that stays open", answer.headers)
        judge(ask, outcome)
    except (Fault, KeyError, TypeError) as fault:
        start = bytes(answer.body[:200])
        raise Fault(f"{fault!s}\n    for {ask}\n    at byte {answer.offset}: {answer.status} {start!r}") from None
    kind = "stream" if ask.stream else "whole"
    book.outcomes[f"{kind}, {' '.join(ask.words)}: {outcome}"] += 1


def outcome_of(book: Book, ask: Ask, answer: Answer) -> Outcome:
    backend = answer.headers.get("x-penstock-backend")
    if answer.status != 200:
        return Outcome(error_of(answer))
    if ask.stream:
        stream = Stream(answer, ask.model, ask.choices, ask.include_usage)
        if stream.id is not None:
            book.unique(stream.id, ask)
        return Outcome(stream.error, True, stream.contents, stream.usage, backend)
    chat_id, contents, usage = check_whole(answer, ask.model)
    book.unique(chat_id, ask)
    return Outcome(None, False, contents, usage, backend)


def settle_part(ask: Ask, answer: Answer) -> None:
    """Hold the beginning of an answer against its request, whose client has left."""
    if answer.status != 200 or not ask.stream:
        return
    stream = Stream(answer, ask.model, ask.choices, ask.include_usage)
    last = ask.attempts[-1]
    for index, content in enumerate(stream.contents):
        require(last.told[index].startswith(content), f"a part of {last.told[index]!r}", content)
