"""What an answer adds to the rows, and how it is rounded."""

from __future__ import annotations

import pytest

from penstock.locust.answer import Answer
from penstock.locust.rows import Row, measured, queue_of, three_digits


def answer_of(*, first: float, gaps: list[float], done: float, events: int) -> Answer:
    return Answer(sent=10.0, first=first, gaps=gaps, done=done, _events=events)


def test_rows_are_microseconds_and_tokens_a_second() -> None:
    answer = answer_of(first=10.25, gaps=[0.5, 0.000_4], done=12.0, events=3)
    rows = [(row, pytest.approx(value)) for row, value in measured(answer, 0.125)]
    assert rows == [
        (Row.FIRST, 250_000),
        (Row.GAP, 500_000),
        (Row.GAP, 400),
        (Row.WHOLE, 2_000_000),
        (Row.QUEUE, 125_000),
        (Row.SPEED, 1.5),
    ]


def test_no_row_for_a_queue_that_is_not_known() -> None:
    answer = answer_of(first=10.5, gaps=[], done=11.0, events=1)
    assert [row for row, _ in measured(answer, None)] == [Row.FIRST, Row.WHOLE, Row.SPEED]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("queue;dur=1.250, first;dur=23.4", 0.00125),
        ("queue;dur=0.000", 0.0),
        ("first;dur=23, queue;dur=7", 0.007),
        ("first;dur=23,queue ; dur=7", 0.007),
        ("my-queue;dur=3, queue;dur=5", 0.005),
        ("first;dur=23.4", None),
        ("queue", None),
        ("", None),
    ],
)
def test_the_queue_time_of_a_server_timing_header(header: str, seconds: float | None) -> None:
    assert queue_of(header) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0, 0),
        (0.4, 0),
        (399.6, 400),
        (999, 999),
        (1234, 1230),
        (1235.1, 1240),
        (9996, 10_000),
        (147_499, 147_000),
        (999_999, 1_000_000),
        (12_345_678, 12_300_000),
    ],
)
def test_three_digits_are_kept(value: float, rounded: int) -> None:
    assert three_digits(value) == rounded


def test_rounding_moves_nothing_by_more_than_half_a_percent() -> None:
    values = [1000 * 1.003**step for step in range(4000)]
    assert max(abs(three_digits(value) / value - 1) for value in values) <= 0.005
    assert [three_digits(value) for value in values] == sorted(three_digits(value) for value in values)
