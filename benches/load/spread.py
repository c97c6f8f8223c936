"""How connections spread over four processes, by the way in which they accept them.

own: a listening socket for each (SO_REUSEPORT), dealt out by the kernel's hash; what Penstock does. shared: one socket,
which each process's loop accepts from until it is empty. exclusive: one socket, EPOLLEXCLUSIVE, one connection for each
time a process is woken. The figure is the fullest process's number over its fair share. Connections come at once, or
every millisecond; the processes have nothing else to do, or are busy half of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import select
import socket
import statistics
import time
from ctypes import Array, c_int
from itertools import product

import click
import uvloop
from written import write

PROCESSES = 4
CROWDS = (8, 64, 1000)
WAYS = ("own", "shared", "exclusive")
PACES = {"at once": 0.0, "one a ms": 0.001}
BUSY_SECONDS = 0.0005
SETTLING_SECONDS = 0.1

Counts = Array[c_int]


def listeners(way: str) -> list[socket.socket]:
    """Return the listening socket of each process."""
    port, made = 0, []
    for _ in range(PROCESSES if way == "own" else 1):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", port))
        one.listen(4096)
        one.setblocking(False)
        port = one.getsockname()[1]
        made.append(one)
    return made if way == "own" else made * PROCESSES


def spin() -> None:
    """Be busy for a moment."""
    end = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < end:
        pass


async def with_a_loop(listener: socket.socket, counts: Counts, index: int, is_busy: bool) -> None:
    """Accept as asyncio's servers do."""

    class Counted(asyncio.Protocol):
        def connection_made(self, _: asyncio.BaseTransport) -> None:
            counts[index] += 1

    await asyncio.get_running_loop().create_server(Counted, sock=listener)
    while True:
        await asyncio.sleep(BUSY_SECONDS if is_busy else 1)
        if is_busy:
            spin()


def exclusively(listener: socket.socket, counts: Counts, index: int, is_busy: bool) -> None:
    """Accept one connection for each event."""
    kept = []
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    while True:
        if epoll.poll(BUSY_SECONDS if is_busy else None):
            with contextlib.suppress(BlockingIOError):
                kept.append(listener.accept())
                counts[index] += 1
        if is_busy:
            spin()


def serve(way: str, listener: socket.socket, counts: Counts, index: int, is_busy: bool) -> None:
    """Be one process, until it is ended."""
    if way == "exclusive":
        exclusively(listener, counts, index, is_busy)
    else:
        uvloop.run(with_a_loop(listener, counts, index, is_busy))


def fullest(way: str, crowd: int, gap: float, is_busy: bool) -> float:
    """Open so many connections; return the fullest process's number over its fair share."""
    fork = multiprocessing.get_context("fork")
    counts: Counts = fork.Array("i", PROCESSES, lock=False)
    mine = listeners(way)
    processes = [
        fork.Process(target=serve, args=(way, listener, counts, index, is_busy), daemon=True)
        for index, listener in enumerate(mine)
    ]
    with contextlib.ExitStack() as stack:
        for process in processes:
            process.start()
            stack.callback(process.kill)
        time.sleep(SETTLING_SECONDS)
        address = mine[0].getsockname()
        for listener in set(mine):
            listener.close()
        for _ in range(crowd):
            stack.enter_context(socket.create_connection(address))
            time.sleep(gap)
        while sum(counts) < crowd:
            time.sleep(SETTLING_SECONDS)
    for process in processes:
        process.join()
    return float(max(counts) * PROCESSES / crowd)


@click.command(help=__doc__)
@click.option("--rounds", default=9, show_default=True)
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(rounds: int, out: str | None) -> None:
    """Measure and print."""
    data = []
    print(f"{'':<32}" + "".join(f"{crowd:>14}" for crowd in CROWDS) + "   connections: median, worst")
    for (pace, gap), is_busy, way in product(PACES.items(), (False, True), WAYS):
        cells = []
        for crowd in CROWDS:
            found = [fullest(way, crowd, gap, is_busy) for _ in range(rounds)]
            median, worst = statistics.median(found), max(found)
            cells.append(f"{median:>8.2f}, {worst:.2f}")
            data.append({"way": way, "pace": pace, "busy": is_busy, "connections": crowd, "fullest_over_share": found})
        print(f"{way:<10} {pace:<10} {'busy' if is_busy else 'idle':<10}" + "".join(cells), flush=True)
    write(out, "spread", {"processes": PROCESSES, "spread": data})


if __name__ == "__main__":
    main()
