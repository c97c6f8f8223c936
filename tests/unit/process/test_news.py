"""What control hears of the others."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import structlog

from penstock.process.news import News
from penstock.process.roster import Roster


def test_news_are_whole_and_end_with_the_last_sender() -> None:
    news = News()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        news.keep_sender()
        news.tell("worker_ready", worker=1)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    news.tell("process_ended", process="worker 0", cause="signal 9")
    news.keep_receiver()
    received = [wait_for(news), wait_for(news)]
    assert {"event": "worker_ready", "worker": 1} in received
    assert {"event": "process_ended", "process": "worker 0", "cause": "signal 9"} in received
    with pytest.raises(BlockingIOError):
        news.take()
    os.close(writer)
    os.waitpid(child, 0)
    assert news.take() is None
    news.close()


def wait_for(news: News) -> dict[str, Any] | None:
    while True:
        try:
            return news.take()
        except BlockingIOError:
            os.sched_yield()


def test_nobody_waits_for_who_does_not_listen() -> None:
    news = News()
    for _ in range(10_000):
        news.tell("worker_ready", worker=0)
    kept = 0
    while True:
        try:
            assert news.take() == {"event": "worker_ready", "worker": 0}
        except BlockingIOError:
            break
        kept += 1
    assert 0 < kept < 10_000
    news.keep_sender()
    news.tell("nobody hears this")
    news.close()


async def test_a_roster_knows_when_all_are_ready_and_when_all_are_gone() -> None:
    news = News()
    with structlog.testing.capture_logs() as logs:
        roster = Roster(news, 2, structlog.get_logger())
        for pid in (11, 12):
            news.tell("worker_ready", worker=1, pid=pid)
        news.tell("process_ended", process="worker 1")
        await asyncio.sleep(0.05)
        assert not roster.all_ready.is_set()
        news.tell("worker_ready", worker=0, pid=10)
        await asyncio.wait_for(roster.all_ready.wait(), 5)
        assert not roster.all_gone.is_set()
        news.keep_receiver()
        await asyncio.wait_for(roster.all_gone.wait(), 5)
    news.close()
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("worker_ready", "info"),
        ("worker_ready", "info"),
        ("process_ended", "warning"),
        ("worker_ready", "info"),
    ]
