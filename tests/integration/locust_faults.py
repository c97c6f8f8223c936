"""A locustfile: one user asks a simulated server for one fault after the other, twice each, and that is the run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from locust import events, task
from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from penstock.locust import StreamingUser

FAULTS = [
    "slow-body",
    "status-429",
    "status-503-loading",
    "refuse",
    "close-before-head",
    "garbage-head",
    "error-first-event",
    "error-mid-stream",
    "garbage-event",
    "no-finish-body",
    "json-for-stream",
    "eof-mid-stream",
    "truncated-body",
    "reset-mid-stream",
    "stall-mid-stream",
]


class Asker(StreamingUser):
    """Asks in order, so that what a fault does to the connection meets the next request."""

    model = "sim"
    network_timeout = 2.0

    @task
    def ask(self) -> None:
        for _ in range(2):
            self.chat("Say 20 words.", name="good")
            for fault in FAULTS:
                self.chat("Say 20 words.", name=fault, headers={"x-sim-fault": fault})
        self.environment.runner.quit()


@events.quitting.add_listener
def write_tables(environment: Environment, **_: Any) -> None:
    """Write the tables of `--csv` once more: locust's own writer may have looked a second ago."""
    tables = StatsCSV(environment, PERCENTILES_TO_REPORT)
    for name, write in [("rows", tables.requests_csv), ("failures", tables.failures_csv)]:
        with Path(f"{environment.parsed_options.csv_prefix}_{name}.csv").open("w") as file:
            write(csv.writer(file))
