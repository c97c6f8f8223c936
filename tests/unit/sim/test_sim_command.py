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
from penstock.sim import SimServer

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
        (["--port", "1", "--cp", "30"], "--cp goes with --profile custom"),
        (["--port", "1", "--chunk", "10", "--slots", "11"], "chunk is 10, less than max_num_seqs 11"),
        (["--port", "1", "--dialect", "llamacpp", "--fence", "3"], "llamacpp has no limit of its own"),
    ],
)
def test_usage_errors(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(sim, arguments)
    assert result.exit_code == 2 and expected in result.stderr


def test_help_teaches() -> None:
    text = CliRunner().invoke(sim, ["--help"]).output
    assert "penstock sim --port 8000" in text and "PENSTOCK_SIM_FAULT" in text and "done-then-open" in text
    for word in ("max_num_queued_reqs", "max_queued_requests", "max_concurrent_requests", "fail_on_no_slot", "custom"):
        assert word in text


def test_a_custom_machine() -> None:
    with pytest.MonkeyPatch.context() as patch:
        made: list[SimServer] = []

        async def serve(server: SimServer, _: int) -> int:
            made.append(server)
            return 0

        patch.setattr("penstock.cli.sim._serve", serve)
        flags = ["--t0", "12", "--cb", "20", "--ckv", "90", "--cp", "60", "--ca", "2", "--kv-tokens", "5000"]
        flags += ["--chunk", "512", "--slots", "32", "--scheduling", "priority", "--refusal", "event", "--fence", "9"]
        result = CliRunner().invoke(sim, ["--port", "0", "--profile", "custom", *flags])
    assert result.exit_code == 0, result.output
    (server,) = made
    machine = server.engine.profile
    assert (machine.name, machine.kv_tokens, machine.chunk, machine.max_num_seqs) == ("custom", 5000, 512, 32)
    assert (machine.t0, machine.cb, machine.ckv) == pytest.approx((12e-3, 20e-6, 90e-9))
    assert (machine.cp, machine.ca) == pytest.approx((60e-6, 2e-9))
    assert (server.fence, server.refusal, server.context) == (9, "event", 5000)
