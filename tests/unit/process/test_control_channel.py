"""Messages to control."""

from __future__ import annotations

import os
from typing import Any

import pytest

from penstock.process.control_channel import ControlChannel


def test_messages_are_whole_and_end_with_the_last_sender() -> None:
    channel = ControlChannel()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        channel.close_receiver()
        channel.send("worker_ready", worker=1)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    channel.send("process_ended", process="worker 0", cause="signal 9")
    channel.close_sender()
    received = [wait_for(channel), wait_for(channel)]
    assert {"event": "worker_ready", "worker": 1} in received
    assert {"event": "process_ended", "process": "worker 0", "cause": "signal 9"} in received
    with pytest.raises(BlockingIOError):
        channel.receive()
    os.close(writer)
    os.waitpid(child, 0)
    assert channel.receive() is None
    channel.close()


def wait_for(channel: ControlChannel) -> dict[str, Any] | None:
    while True:
        try:
            return channel.receive()
        except BlockingIOError:
            os.sched_yield()


def test_nobody_waits_for_who_does_not_listen() -> None:
    channel = ControlChannel()
    for _ in range(10_000):
        channel.send("worker_ready", worker=0)
    kept = 0
    while True:
        try:
            assert channel.receive() == {"event": "worker_ready", "worker": 0}
        except BlockingIOError:
            break
        kept += 1
    assert 0 < kept < 10_000
    channel.close_receiver()
    channel.send("nobody hears this")
    channel.close()
