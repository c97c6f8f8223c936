"""`penstock sim`, as a shell sees it."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from penstock.cli.sim import sim

COMMAND = [sys.executable, "-c", "from penstock.cli.sim import sim; sim()"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serves_until_a_signal(number: signal.Signals, code: int) -> None:
    variables = {**os.environ, "PENSTOCK_SIM_PORT": "0", "PENSTOCK_SIM_MODEL": "named-by-variable"}
    with subprocess.Popen(
        [*COMMAND, "--speed", "instant"], env=variables, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.split()[2].rstrip(";")
        assert f"curl -N {url}/v1/chat/completions -d '" in line
        with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as answer:
            assert b'"named-by-variable"' in answer.read()
        process.send_signal(number)
        assert process.wait(5) == code
        assert process.stderr.read() == ""


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--port"),
        (["--port", "1", "--profile", "900b"], "8b-h100"),
        (["--port", "1", "--speed", "0"], "neither a number above 0 nor 'instant'"),
        (["--port", "1", "--fault", "flood"], "stall-mid-stream"),
    ],
)
def test_usage_errors(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(sim, arguments)
    assert result.exit_code == 2 and expected in result.stderr


def test_help_teaches() -> None:
    text = CliRunner().invoke(sim, ["--help"]).output
    assert "penstock sim --port 8000" in text and "PENSTOCK_SIM_FAULT" in text and "done-then-open" in text
