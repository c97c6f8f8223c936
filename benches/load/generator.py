"""The load generator: which core it has, and what it reports."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from own import BINARIES
from process import pinned

__all__ = ["LOAD_CORE", "PEER_CORE", "WrongAnswersError", "generate"]

PEER_CORE = 0
LOAD_CORE = 1


class WrongAnswersError(Exception):
    """The peer gave wrong answers, so its figures mean nothing."""


def generate(port: int, seconds: float, headers: dict[str, str], **options: float | str) -> dict[str, Any]:
    """Run the generator for so long and return what it reports.

    Raises:
        WrongAnswersError: an answer was wrong.
    """
    command = [str(BINARIES / "load"), "--port", str(port), "--seconds", str(seconds)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    if headers:
        command += ["--header", "|".join(f"{name}: {value}" for name, value in headers.items())]
    done = subprocess.run(pinned(command, LOAD_CORE), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WrongAnswersError(done.stderr.strip() or f"the generator ended with {done.returncode}")
    seen: dict[str, Any] = json.loads(done.stdout)
    faults = {name: count for name, count in seen["faults"].items() if name != "reconnects"}
    if faults:
        raise WrongAnswersError(f"{faults} {done.stderr.strip()[:300]}")
    # An answer that has not come to its end has not been checked to its end.
    if seen["answers"] + seen["streams"] == 0:
        raise WrongAnswersError("no answer came to its end")
    return seen
