"""When an engine counts as hung, look by look."""

from __future__ import annotations

import pytest

from penstock.upstream.engine_hang import HANG_SECONDS, EngineHangDetector, Observation
from penstock.upstream.gauges import Gauges

NOTHING = Gauges()
ROUND = 5.0


class Backend:
    """What is looked at, once every five seconds."""

    def __init__(self, gauges: Gauges = NOTHING) -> None:
        self.now = 1000.0
        self.own = 2
        self.heard = 990.0
        self.silences = 0
        self.gauges = gauges
        self.longest: float | None = 0.0
        self.hang = EngineHangDetector()

    def look(self) -> str | None:
        self.now += ROUND
        if self.longest is not None:
            self.longest += ROUND
        return self.hang.observe(
            Observation(self.now, self.own, self.heard, self.silences, self.gauges, lambda: self.longest)
        )

    def looks(self, seconds: float) -> list[str | None]:
        return [self.look() for _ in range(int(seconds / ROUND))]


def busy(steps: int, running: int = 2) -> Gauges:
    return Gauges(running=running, steps=steps)


def test_an_engine_that_makes_no_step_while_requests_run() -> None:
    backend = Backend(busy(7))
    assert backend.looks(HANG_SECONDS) == [None] * 6
    assert backend.look() == "hangs: 2 requests run, none had a token for 30 s"


@pytest.mark.parametrize("seconds", [300.0])
def test_a_long_whole_answer_is_no_hang(seconds: float) -> None:
    """Nothing is heard of it before its end; but the engine steps."""
    backend = Backend(busy(7))
    for _ in range(int(seconds / ROUND)):
        backend.gauges = busy((backend.gauges.steps or 0) + 1)
        assert backend.look() is None


def test_what_says_that_there_is_nothing_to_do_or_that_it_works() -> None:
    idle = Backend(busy(7))
    idle.own, idle.longest = 0, None
    assert set(idle.looks(300.0)) == {None}
    # A client reads an answer slowly that its engine has long finished.
    finished = Backend(busy(7, running=0))
    assert set(finished.looks(300.0)) == {None}
    # Requests that are refused one after the other: there is always one, and no one stays.
    refused = Backend(busy(7))
    for _ in range(60):
        refused.longest = 0.1
        assert refused.look() is None
    # Tokens come, and the number of steps is an old one.
    heard = Backend(busy(7))
    for _ in range(60):
        heard.heard = heard.now
        assert heard.look() is None


def test_a_pause_begins_anew_with_each_sign() -> None:
    backend = Backend(busy(7))
    assert set(backend.looks(25.0)) == {None}
    backend.gauges = busy(8)
    assert set(backend.looks(30.0)) == {None}
    # A page that is not there for a moment proves nothing.
    backend.gauges = NOTHING
    assert backend.look() is None
    backend.gauges = busy(8)
    assert backend.looks(35.0)[:-1] == [None] * 6
    # After a restart the number is lower.
    backend = Backend(busy(7))
    backend.looks(25.0)
    backend.gauges = busy(0)
    assert set(backend.looks(30.0)) == {None}


def test_streams_without_a_first_event_in_several_rounds() -> None:
    backend = Backend()
    assert set(backend.looks(300.0)) == {None}, "silence alone proves nothing without gauges"
    seen = []
    for _ in range(8):
        backend.silences += 1
        seen.append(backend.look())
    assert seen[:6] == [None] * 6
    assert seen[6] == "hangs: requests have nothing from it when their time is over"


def test_one_burst_of_long_prompts_is_no_hang() -> None:
    backend = Backend()
    backend.silences += 8
    assert set(backend.looks(300.0)) == {None}
    backend.silences += 8
    assert set(backend.looks(300.0)) == {None}


def test_an_answer_in_between_breaks_the_row() -> None:
    backend = Backend()
    for _ in range(60):
        backend.silences += 1
        if backend.silences % 5 == 0:
            backend.heard = backend.now
        assert backend.look() is None


def test_silence_counts_nothing_while_the_engine_steps() -> None:
    """It is too slow for its tier: that is another fault, and to close it would help nobody."""
    backend = Backend(busy(7))
    for _ in range(60):
        backend.silences += 1
        backend.gauges = busy((backend.gauges.steps or 0) + 1)
        assert backend.look() is None
