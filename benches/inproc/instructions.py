"""Instructions of one request and one streamed event in process, counted by valgrind: the same on a busy machine.

Two runs of different length are subtracted, so that start-up does not count. The ceilings in `instructions.json` are
what a change to the hot path is held against; the count moves by a few percent between compilers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from workload import EVENTS, Bench, check, json_requests, stream_events

HERE = Path(__file__).parent
CEILINGS = HERE / "instructions.json"
# A run of each length: units that are the same in both are subtracted away.
RUNS = {"json_request": (500, 2500), "event": (1, 5)}
UNITS = {"json_request": 1, "event": EVENTS}
MISSED = 3


def work(kind: str, count: int) -> None:
    """Do so much, and nothing else: this is what valgrind watches."""
    bench = Bench()
    check(bench)
    (json_requests if kind == "json_request" else stream_events)(bench, count)


def count(kind: str, length: int) -> int:
    """Return the instructions of one run."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, "--work", kind, str(length)], capture_output=True, text=True, env=environment, check=False
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"valgrind failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return int(found[1])


def measure(kind: str) -> int:
    """Return the instructions of one unit."""
    short, long = RUNS[kind]
    return (count(kind, long) - count(kind, short)) // ((long - short) * UNITS[kind])


def main() -> int:
    """Count and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.add_argument("--work", nargs=2, metavar=("KIND", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]))
        return 0
    if shutil.which("valgrind") is None:
        print("not run: valgrind not found")
        return 0
    ceilings: dict[str, int] = json.loads(CEILINGS.read_text())
    counts = {kind: measure(kind) for kind in RUNS}
    if options.json:
        json.dump(counts, sys.stdout, indent=2)
        sys.stdout.write("\n")
    above = [kind for kind, instructions in counts.items() if instructions > ceilings[kind]]
    for kind, instructions in counts.items():
        verdict = "above its ceiling of" if kind in above else "at most"
        print(f"{kind:<14} {instructions:>7,} instructions, {verdict} {ceilings[kind]:,}", file=sys.stderr)
    return MISSED if above else 0


if __name__ == "__main__":
    sys.exit(main())
