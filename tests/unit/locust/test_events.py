"""Lines of a body become the data of events."""

from __future__ import annotations

import pytest

from penstock.locust.events import EventReader


def events_in(body: bytes) -> list[bytes]:
    reader = EventReader()
    return [data for line in body.splitlines(keepends=True) if (data := reader.read(line)) is not None]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_each_event_is_its_data(end: bytes) -> None:
    assert events_in(b"data: one\n\ndata: two\n\n".replace(b"\n", end)) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        pytest.param(b"data:one\n\n", [b"one"], id="no space after the colon, as TGI sends it"),
        pytest.param(b"data:  one\n\n", [b" one"], id="only one space belongs to the syntax"),
        pytest.param(b"data: a: b\n\n", [b"a: b"], id="a colon in the data"),
        pytest.param(b"data: one\ndata: two\n\n", [b"one\ntwo"], id="several lines of data"),
        pytest.param(b": ping\n\ndata: one\n\n: ping\n\n", [b"one"], id="heartbeats"),
        pytest.param(b"data: one\n: ping\n\n", [b"one"], id="a comment inside an event"),
        pytest.param(b"event: x\nid: 1\nretry: 2\ndata: one\n\n", [b"one"], id="other fields"),
        pytest.param(b"database: one\n\n", [], id="a field whose name begins alike"),
        pytest.param(b"\n\n\ndata: one\n\n\n\n", [b"one"], id="empty lines"),
        pytest.param(b"data\n\n", [b""], id="data without a value"),
        pytest.param(b"data: one\n\ndata: two\n", [b"one"], id="an end without an empty line"),
        pytest.param(b"data: one\n\ndata: [DONE]", [b"one"], id="an end inside a line"),
    ],
)
def test_by_the_rules_of_the_standard(body: bytes, events: list[bytes]) -> None:
    assert events_in(body) == events
