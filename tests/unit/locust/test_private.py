"""What Penstock uses of locust's private API is still there. Locust is imported in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMES = {
    "contrib.fasthttp.FAILURE_EXCEPTIONS": "what reading a broken response raises",
    "contrib.fasthttp.FastResponse._response": "reading a body line by line",
    "contrib.fasthttp.ResponseContextManager": "the type of a response with catch_response",
    "stats.bucket_response_time": "rounding less for percentiles",
}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_still_there(name: str) -> None:
    code = (
        "import functools, locust.contrib.fasthttp, locust.stats\n"
        f"functools.reduce(getattr, {name.split('.')}, locust)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    use = NAMES[name]
    assert done.returncode == 0, f"this locust has no {name}, which penstock/locust/private.py needs for: {use}"


def test_the_rounding_that_was_set_is_the_one_that_counts() -> None:
    code = (
        "from locust.stats import RequestStats\n"
        "from penstock.locust.private import round_percentiles_with\n"
        "round_percentiles_with(lambda response_time: 7)\n"
        "row = RequestStats().get('name', 'µs')\n"
        "row.log(12345, 0)\n"
        "assert dict(row.response_times) == {7: 1}, row.response_times\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"locust does not call bucket_response_time for each time any more: {done.stderr}"
