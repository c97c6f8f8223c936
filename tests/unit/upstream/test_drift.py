"""What a row of readings shows."""

import itertools
import random

import pytest

from penstock.upstream.drift import READINGS_TO_REPORT, REPEAT_SECONDS, DriftDetector, DriftSignal
from penstock.upstream.gauges import Counted, Gauges


class Server:
    """Readings of one server, one each second."""

    def __init__(self) -> None:
        self.drift = DriftDetector()
        self.now = 100.0
        self.steps = 0

    def reads(self, own: int = 0, *, stepped: bool = True, **numbers: object) -> list[DriftSignal]:
        self.now += 1.0
        self.steps += stepped
        gauges = {"running": own, "waiting": 0, "counted": Counted.NOW, "steps": self.steps} | numbers
        return self.drift.observe(Gauges(**gauges), own, self.now)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Server:
    return Server()


def test_own_traffic_is_not_foreign(server: Server) -> None:
    for own in (0, 4, 64, 3, 0, 0, 0, 0):
        assert server.reads(own) == []


def test_foreign_traffic_takes_three_readings_in_a_row(server: Server) -> None:
    assert [server.reads(4, running=5) for _ in range(3)] == [[], [], [DriftSignal.FOREIGN_TRAFFIC]]


def test_a_reading_between_breaks_the_row(server: Server) -> None:
    for _ in range(5):
        assert server.reads(4, running=5) == server.reads(4, running=5) == []
        assert server.reads(4, running=4) == []


def test_a_round_without_a_reading_breaks_the_row(server: Server) -> None:
    for _ in range(5):
        assert server.reads(4, running=5) == server.reads(4, running=5) == []
        server.drift.skip()


def test_foreign_requests_show_when_they_make_ours_wait(server: Server) -> None:
    # A server with as many slots as our limit never runs more than ours.
    assert [server.reads(4, running=4, waiting=2) for _ in range(3)][-1] == [DriftSignal.FOREIGN_TRAFFIC]


def test_what_lasts_is_reported_once_a_minute(server: Server) -> None:
    reported = [server.now for _ in range(300) if server.reads(0, running=1)]
    assert [later - earlier for earlier, later in itertools.pairwise(reported)] == [REPEAT_SECONDS] * 4


def test_what_comes_and_goes_is_reported_once_a_minute(server: Server) -> None:
    reported = [server.now for at in range(300) if server.reads(0, running=int(at % 5 > 0))]
    assert len(reported) == 5
    assert all(later - earlier >= REPEAT_SECONDS for earlier, later in itertools.pairwise(reported))


def test_gauges_of_the_last_step_count_only_after_a_step(server: Server) -> None:
    # vLLM after an abort of everything: the gauges stay where they were.
    stale = {"running": 106, "waiting": 15, "counted": Counted.STEP}
    assert [server.reads(0, stepped=False, **stale) for _ in range(10)] == [[]] * 10
    fresh = [server.reads(0, running=106, counted=Counted.STEP) for _ in range(3)]
    assert fresh == [[], [], [DriftSignal.FOREIGN_TRAFFIC]]


def test_gauges_of_the_last_log_line_do_not_show_foreign_traffic(server: Server) -> None:
    assert [server.reads(0, running=8, waiting=8, counted=Counted.LOGGED) for _ in range(10)] == [[]] * 10
    assert [server.reads(9, running=4, waiting=3, counted=Counted.LOGGED) for _ in range(3)][-1] == [
        DriftSignal.ENGINE_QUEUE
    ]


@pytest.mark.parametrize(("waiting", "signals"), [(2, []), (3, [DriftSignal.ENGINE_QUEUE])])
def test_the_engine_queue_has_a_set_point(server: Server, waiting: int, signals: list[DriftSignal]) -> None:
    assert [server.reads(10, running=10 - waiting, waiting=waiting) for _ in range(READINGS_TO_REPORT)][-1] == signals


def test_a_preemption_is_reported_at_once(server: Server) -> None:
    assert server.reads(preemptions=5) == []
    assert server.reads(preemptions=5) == []
    assert server.reads(preemptions=6) == [DriftSignal.PREEMPTIONS]


def test_a_restarted_server_counts_from_nought(server: Server) -> None:
    server.reads(preemptions=5)
    assert server.reads(preemptions=0) == []
    assert server.reads(preemptions=2) == [DriftSignal.PREEMPTIONS]


def test_a_preemption_between_two_gaps_is_not_lost(server: Server) -> None:
    server.reads(preemptions=5)
    server.drift.skip()
    server.reads()
    assert server.reads(preemptions=6) == [DriftSignal.PREEMPTIONS]


def test_gauges_that_were_there_are_missed(server: Server) -> None:
    assert [server.reads(2, kv_usage=None) for _ in range(5)] == [[]] * 5  # it never showed it
    server.reads(2, kv_usage=0.5)
    assert [server.reads(2, kv_usage=None) for _ in range(3)] == [[], [], [DriftSignal.GAUGES_MISSING]]


def test_all_gauges_gone(server: Server) -> None:
    server.reads(2)
    gone = {"running": None, "waiting": None, "counted": None, "steps": None}
    assert [server.reads(2, **gone) for _ in range(3)] == [[], [], [DriftSignal.GAUGES_MISSING]]


def test_an_idle_server_that_has_not_shown_its_gauges_yet_lacks_none(server: Server) -> None:
    server.reads(2)
    assert [server.reads(0, running=None, waiting=None) for _ in range(10)] == [[]] * 10


def test_a_server_that_says_nothing(server: Server) -> None:
    for own in (0, 1, 100):
        assert server.drift.observe(Gauges(), own, server.now) == []


def test_two_signals_at_once(server: Server) -> None:
    assert [server.reads(1, running=4, waiting=5) for _ in range(3)][-1] == [
        DriftSignal.FOREIGN_TRAFFIC,
        DriftSignal.ENGINE_QUEUE,
    ]


def test_random_own_traffic_never_looks_foreign() -> None:
    """A server that runs at most what we have there at the larger of two counts, and now and then one more."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    server = Server()
    late = 0
    for _ in range(5000):
        own = numbers.randrange(65)
        # A request that ended between the count and the page: never thrice in a row here.
        late = late + 1 if late < READINGS_TO_REPORT - 1 and numbers.random() < 0.5 else 0
        running = own + 1 if late else numbers.randrange(own + 1)
        assert server.reads(own, running=running) == []
