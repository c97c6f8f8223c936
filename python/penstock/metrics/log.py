"""The log: whole lines to standard output, from a thread, so that a blocked pipe never blocks the event loop.

Several processes write to the same standard output. Only writes of up to PIPE_BUF bytes (4,096 on Linux) are atomic on
a pipe (pipe(7)), so longer lines are shortened: their longest texts are cut in the middle. A lock around longer writes
would not do, because nobody could log while its holder is stopped.
"""

from __future__ import annotations

import collections
import os
import select
import stat
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import FilteringBoundLogger

    from penstock.config.settings import Log

__all__ = ["LogWriter", "make_logger"]

# Bytes of waiting lines, above which lines are dropped and counted. 50,000 requests a second write 20 MB.
BUFFER_BYTES = 8 << 20
# Replaces what was cut out of a text.
CUT = " […] "
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LogWriter:
    """A bounded buffer of lines and the thread that writes them. Thread-safe."""

    def __init__(self, fd: int, *, console: bool) -> None:
        self._fd = fd
        self._console = console
        # The size of the largest atomic write; to a regular file every write is atomic.
        self._atomic = 1 << 16 if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
        self._buffer: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._ready = threading.Condition()
        self._closing = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="penstock-log", daemon=True)
        self._thread.start()

    @classmethod
    def standard_output(cls, settings: Log) -> LogWriter:
        """Write to standard output in the configured form."""
        console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
        return cls(1, console=console)

    def write(self, lines: bytes) -> None:
        """Queue whole JSON lines, each ended by LF."""
        with self._ready:
            if self._size + len(lines) > BUFFER_BYTES:
                self._dropped += lines.count(b"\n")
                return
            self._buffer.append(lines)
            self._size += len(lines)
            self._ready.notify()

    def take_dropped(self) -> int:
        """Return how many lines were dropped since the last call: the buffer was full, or the write has failed."""
        with self._ready:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def close(self, timeout: float = 2.0) -> None:
        """Write the waiting lines, but wait no longer than `timeout` seconds."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._buffer and not self._closing:
                    self._ready.wait()
                if not self._buffer:
                    return
                lines = b"".join(self._buffer)
                self._buffer.clear()
                self._size = 0
            try:
                self._write(lines)
            except Exception:  # a malformed line must not end the thread
                with self._ready:
                    self._dropped += lines.count(b"\n")

    def _write(self, lines: bytes) -> None:
        if self._console:
            for line in lines.splitlines(keepends=True):
                _write_all(self._fd, console_line(shortened(line, self._atomic)))
            return
        start = 0
        while start < len(lines):
            # As many whole lines as fit into one atomic write.
            end = lines.rfind(b"\n", start, start + self._atomic) + 1
            if end > 0:
                _write_all(self._fd, lines[start:end])
            else:
                end = lines.find(b"\n", start) + 1 or len(lines)
                _write_all(self._fd, shortened(lines[start:end], self._atomic))
            start = end


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # Another process with the same open file has made it non-blocking, as Node.js does with its pipes.
            ready = select.poll()
            ready.register(fd, select.POLLOUT)
            ready.poll()


def shortened(line: bytes, size: int) -> bytes:
    """Return a JSON line of at most `size` bytes: the middle of the longest texts is replaced by CUT."""
    if len(line) <= size:
        return line
    whole: dict[str, Any] = orjson.loads(line)
    entry = whole.copy()
    texts = [key for key, value in entry.items() if isinstance(value, str)]
    for key in sorted(texts, key=lambda key: len(entry[key]), reverse=True):
        # A character has at least one byte, so the rest fits, unless this text is shorter than the excess.
        kept = max(0, len(entry[key]) - (len(line) - size) - len(CUT.encode()))
        entry[key] = entry[key][: kept - kept // 2] + CUT + entry[key][len(entry[key]) - kept // 2 :]
        line = orjson.dumps(entry) + b"\n"
        if len(line) <= size:
            return line
    # Something else than texts makes it long, which is in no line of Penstock's own.
    return orjson.dumps({key: whole[key] for key in ("ts", "level", "event")}) + b"\n"


def console_line(line: bytes) -> bytes:
    """Return a JSON line in the console format: time, level, event, then key=value."""
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    moment = datetime.fromtimestamp(entry.pop("ts", time.time()), UTC).astimezone().strftime("%H:%M:%S")
    level, event = entry.pop("level", "info"), entry.pop("event", "")
    pairs = " ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, ""))
    return f"{moment} {level:<7} {event} {pairs}\n".encode()


def make_logger(writer: LogWriter, settings: Log) -> FilteringBoundLogger:
    """Return a logger whose lines go to `writer`, in the shape of the access log's."""

    def stamp(_: object, name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        level = "error" if name in ("exception", "critical") else name
        return {"ts": round(time.time(), 3), "level": level, **event}

    def emit(_: object, __: str, event: MutableMapping[str, Any]) -> NoReturn:
        writer.write(orjson.dumps(event, default=str) + b"\n")
        raise structlog.DropEvent

    logger: FilteringBoundLogger = structlog.wrap_logger(
        None,
        processors=[structlog.processors.format_exc_info, stamp, emit],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        cache_logger_on_first_use=True,
    )
    return logger
