"""Who is there: control's view of the workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock.process.news import News

__all__ = ["Roster"]


class Roster:
    """Logs the news; knows when every worker has been ready once, and when none is left and none will come."""

    def __init__(self, news: News, workers: int, log: FilteringBoundLogger) -> None:
        self.all_ready = asyncio.Event()
        self.all_gone = asyncio.Event()
        self._news = news
        self._log = log
        self._awaited = set(range(workers))
        asyncio.get_running_loop().add_reader(news.fileno(), self._listen)

    def _listen(self) -> None:
        message = self._news.take()
        if message is None:
            asyncio.get_running_loop().remove_reader(self._news.fileno())
            self.all_gone.set()
            return
        match message:
            case {"event": "worker_ready", "worker": worker}:
                self._log.info(**message)
                self._awaited.discard(worker)
                if not self._awaited:
                    self.all_ready.set()
            case _:
                self._log.warning(**message)
