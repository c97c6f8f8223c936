"""A supervisor with children that do nothing but tell; run as a program by the tests.

Each line on standard output is an event and its process: `control` or `worker N`, and a pid where there is one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from penstock.process.control_channel import ControlChannel
from penstock.process.shutdown_signals import DrainMode, ShutdownSignals
from penstock.process.supervisor import Supervisor


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Toy:
    """Waits for its orders and tells of them."""

    def __init__(self, name: str, channel: ControlChannel, supervisor: int) -> None:
        self.name = name
        self.channel = channel
        self.supervisor = supervisor

    def begin(self) -> None:
        say("begin", self.name)

    def ended(self) -> None:
        say("ended", self.name)

    def run(self) -> int:
        self.channel.close_receiver()
        asyncio.run(self.serve())
        return 0

    async def serve(self) -> None:
        signals = ShutdownSignals.of_child(self.supervisor)
        say("born", self.name, os.getpid())
        say("drained" if await signals.wait_and_drain(self) else "quit", self.name)

    async def drain(self, mode: DrainMode) -> None:
        say(mode.name, self.name)


class Control(Toy):
    """Stays until no worker is left."""

    def run(self) -> int:
        self.channel.close_sender()
        asyncio.run(self.serve())
        return 0

    async def drain(self, mode: DrainMode) -> None:
        await super().drain(mode)
        while True:
            try:
                message = self.channel.receive()
            except BlockingIOError:
                await asyncio.sleep(0.01)
                continue
            if message is None:
                return
            say("told of", message.get("process", message["event"]), message.get("cause", ""))


class Lasting(Toy):
    """Its drain lasts until it is told to quit."""

    async def drain(self, mode: DrainMode) -> None:
        await super().drain(mode)
        await asyncio.sleep(60)


class Late(Toy):
    """Listens only half a second after its birth."""

    def run(self) -> int:
        say("born", self.name, os.getpid())
        time.sleep(0.5)
        return super().run()


class Deaf(Toy):
    """Obeys nothing."""

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        say("born", self.name, os.getpid())
        while True:
            time.sleep(60)


class Failing(Toy):
    """Dies at once."""

    def run(self) -> int:
        say("born", self.name, time.monotonic())
        raise ValueError("a child that cannot start")


class Stepping(Toy):
    """Stays in its drain until it gets a line from the test."""

    async def drain(self, mode: DrainMode) -> None:
        await super().drain(mode)
        await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)


class Leaving(Toy):
    """Has closed its loop, and stays until it gets a line from the test."""

    def run(self) -> int:
        code = super().run()
        say("leaving", self.name)
        os.read(0, 1)
        return code


class Unheard(Toy):
    """Has something to say in the end, and nobody to say it to."""

    def run(self) -> int:
        # Buffered, whatever the environment says, and refused when it is flushed.
        sys.stdout = Path("/dev/full").open("w")  # noqa: SIM115
        sys.stdout.write("the last words")
        return 0


KINDS = {kind.__name__.lower(): kind for kind in (Toy, Lasting, Late, Deaf, Failing, Stepping, Leaving, Unheard)}


def main(*kinds: str) -> int:
    supervisor = os.pidfd_open(os.getpid())
    channel = ControlChannel()
    workers = [KINDS[kind](f"worker {index}", channel, supervisor) for index, kind in enumerate(kinds)]

    control = Control("control", channel, supervisor)
    return Supervisor(control, workers, channel=channel, stop_accepting=partial(say, "stop_accepting")).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
