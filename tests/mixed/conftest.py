"""What every run of the suite leaves behind: its seed and its sums on the terminal, and a log without an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def clean_log(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    out, err = capfd.readouterr()
    said = [line for line in out.splitlines() if line and not line.startswith("{")]
    with capfd.disabled():
        print("", *said, sep="\n") if said else None
    logged = [line for line in out.splitlines() if line.startswith("{")]
    assert "Traceback" not in out + err
    assert not [line for line in logged if '"level":"error"' in line]
