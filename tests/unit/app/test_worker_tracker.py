"""What control knows of the workers."""

from __future__ import annotations

import asyncio

import structlog

from penstock.app.worker_tracker import WorkerTracker
from penstock.process.control_channel import ControlChannel


async def test_a_tracker_knows_when_all_are_ready_and_when_all_are_gone() -> None:
    channel = ControlChannel()
    with structlog.testing.capture_logs() as logs:
        tracker = WorkerTracker(channel, 2, structlog.get_logger())
        for pid in (11, 12):
            channel.send("worker_ready", worker=1, pid=pid)
        channel.send("process_ended", process="worker 1")
        await asyncio.sleep(0.05)
        assert not tracker.all_ready.is_set()
        channel.send("worker_ready", worker=0, pid=10)
        await asyncio.wait_for(tracker.all_ready.wait(), 5)
        assert not tracker.all_gone.is_set()
        channel.close_sender()
        await asyncio.wait_for(tracker.all_gone.wait(), 5)
    channel.close()
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("worker_ready", "info"),
        ("worker_ready", "info"),
        ("process_ended", "warning"),
        ("worker_ready", "info"),
    ]
