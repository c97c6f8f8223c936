"""What one request and one streamed event cost in process: microseconds, everything but the kernel.

Each figure is the best of several rounds: on a shared machine the fastest round is the one least disturbed.
`instructions.py` counts instead of timing.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import time
from collections.abc import Callable

from workload import EVENTS, Bench, check, chunk, json_requests, request, stream_events, whole_answer

from penstock import __version__


def best(rounds: int, once: Callable[[], int]) -> float:
    """Return the microseconds per unit of the fastest round."""
    times = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        units = once()
        times.append((time.perf_counter() - start) / units * 1e6)
        gc.enable()
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000, help="JSON requests in a round")
    parser.add_argument("--streams", type=int, default=40, help=f"streams of {EVENTS} events in a round")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    options = parser.parse_args()
    bench = Bench()
    check(bench)
    results = {
        "us_per_json_request": round(best(options.rounds, lambda: json_requests(bench, options.requests)), 3),
        "us_per_event": round(best(options.rounds, lambda: stream_events(bench, options.streams)), 3),
        "prompt_bytes": len(request(stream=False)),
        "answer_bytes": len(whole_answer()),
        "event_bytes": len(chunk({"content": " river"})),
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for name, value in results.items():
            print(f"{name:<22} {value}")


if __name__ == "__main__":
    main()
