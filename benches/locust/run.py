"""Run locustfile.py against `--host URL`, or without one against a Penstock with simulated engines of its own.

    python benches/locust/run.py --headless -u 20 -r 10 -t 30s --stop-timeout 30
    python benches/locust/run.py --headless -u 20 -r 10 -t 30s --host http://127.0.0.1:8080

Everything else goes to locust. The exit code is locust's: 1 if a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
# More slots than the users that one process of locust can keep: what is looked at is the way there, not the queue.
SLOTS = 64
SECONDS_TO_START = 60.0


@contextlib.contextmanager
def simulated() -> Iterator[str]:
    """Run `penstock demo --sim` on free ports; yield its URL once it is ready."""
    address, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    command = [sys.executable, "-m", "penstock", "demo", "--sim", "--slots", str(SLOTS)]
    # Its log has a line for each request; locust's tables are what is read here. In a session of its own, Ctrl-C does
    # not end it before locust is done.
    demo = subprocess.Popen(
        [*command, "--listen", address, "--admin", admin], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = f"http://{address}"
        wait_until_ready(demo, url)
        yield url
    finally:
        demo.terminate()
        demo.wait()


def wait_until_ready(demo: subprocess.Popen[bytes], url: str) -> None:
    """Return once /readyz says so."""
    end = time.monotonic() + SECONDS_TO_START
    while demo.poll() is None and time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(f"{url}/readyz"):
            return
        time.sleep(0.05)
    sys.exit("penstock demo did not start")


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", metavar="URL")
    options, rest = parser.parse_known_args()
    # Ctrl-C is for locust, which then prints its tables; a SIGTERM must not leave a demo behind.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with contextlib.nullcontext(options.host) if options.host else simulated() as url:
        sys.exit(subprocess.call([sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--host", url, *rest]))


if __name__ == "__main__":
    main()
