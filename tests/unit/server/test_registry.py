"""The round over the connections: each once, none that is gone, and the slowest when too much is unsent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog import get_logger

from penstock.server import registry as module
from penstock.server import sweep
from penstock.server.registry import Registry
from penstock.server.stall import StallDetector
from penstock.server.sweep import Sweep


@dataclass(eq=False)
class Client:
    open_transport: None = None
    unsent_bytes: int = 0
    is_idle: bool = True
    is_finishing: bool = False
    log: list[str] = field(default_factory=list)

    def force_close(self) -> None:
        self.log.append("closed")

    def abort(self) -> None:
        self.log.append("aborted")

    def sweep(self, now: float) -> None:
        self.log.append("swept")


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1234])
def test_each_is_looked_after_once_a_second_in_small_parts(count: int) -> None:
    clients = [Client() for _ in range(count)]
    one = Sweep(clients, StallDetector(), get_logger(), 10.0)
    largest = 0
    for tick in range(1, 101):
        before = sum(len(client.log) for client in clients)
        one.go_on(set(clients), 10.0 + tick / 100)
        largest = max(largest, sum(len(client.log) for client in clients) - before)
    assert all(client.log == ["swept"] for client in clients)
    assert not one.left
    assert largest <= count // 100 + 1


def test_who_has_gone_meanwhile_is_left_alone() -> None:
    clients = [Client(unsent_bytes=1) for _ in range(10)]
    one = Sweep(clients, StallDetector(), get_logger(), 0.0)
    one.go_on(set(clients[:5]), 0.5)
    assert len(one.left) == 5
    one.go_on(set(clients[:5]), 5.0)
    assert [len(client.log) for client in clients] == [1] * 5 + [0] * 5
    assert one.unsent == 5


def test_whatever_is_wrong_with_one_the_others_are_looked_after() -> None:
    class Broken(Client):
        def sweep(self, now: float) -> None:
            raise RuntimeError("broken")

    clients = [Client(), Broken(), Client()]
    one = Sweep(clients, StallDetector(), get_logger(), 0.0)
    one.go_on(set(clients), 5.0)
    assert [client.log for client in clients] == [["swept"], ["aborted"], ["swept"]]
    assert not one.left


def test_the_slowest_are_cut_when_too_much_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNSENT_BYTES", 100)
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 1e-9)
    anything = cast(Any, None)
    registry = Registry(anything, cast(Any, type("Limits", (), {"connections": 10})), anything)
    clients = [Client(unsent_bytes=unsent) for unsent in (10, 70, 5, 60)]
    for client in clients:
        registry.add(client)
    for _ in range(10):
        registry.sweep()
    # 145 bytes; without the slowest client's 70 it is enough.
    assert ["aborted" in client.log for client in clients] == [False, True, False, False]
