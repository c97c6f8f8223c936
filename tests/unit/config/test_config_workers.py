"""`workers: auto` beside the files that a kernel shows, and the cores that the mask leaves."""

import os
from pathlib import Path

import pytest

from penstock.config.workers import auto_workers


def in_v2(group: str) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{group}\n"}


def in_v1(group: str) -> dict[str, str]:
    return {"proc/self/cgroup": f"4:cpu,cpuacct:{group}\n3:cpuset:/x\n1:name=systemd:/x\n0::/x\n"}


def v2(group: str, quota: str) -> dict[str, str]:
    return {f"sys/fs/cgroup{group}/cpu.max": f"{quota}\n"}


def v1(group: str, quota: int, period: int = 100_000) -> dict[str, str]:
    folder = f"sys/fs/cgroup/cpu{group}"
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("cores", "files", "workers"),
    [
        # the mask alone
        pytest.param(1, {}, 1, id="one core"),
        pytest.param(3, {}, 3, id="no cgroups"),
        pytest.param(4, {}, 4, id="four cores"),
        pytest.param(96, {}, 4, id="at most four"),
        pytest.param(3, in_v2("/"), 3, id="the root of v2 has no quota"),
        # version 2
        pytest.param(8, in_v2("/") | v2("", "200000 100000"), 2, id="v2 in its own namespace"),
        pytest.param(3, in_v2("/") | v2("", "max 100000"), 3, id="v2 without a quota"),
        pytest.param(8, in_v2("/a/b") | v2("/a/b", "300000 100000"), 3, id="v2 on a host"),
        pytest.param(8, in_v2("/a/b") | v2("/a/b", "max 100000") | v2("/a", "60000 20000"), 3, id="v2, parent"),
        pytest.param(8, in_v2("/a/b") | v2("/a/b", "200000 100000") | v2("/a", "300000 100000"), 2, id="v2, child"),
        pytest.param(8, in_v2("/docker/x") | v2("", "200000 100000"), 2, id="v2, the host's path in a container"),
        pytest.param(8, in_v2("/../x") | v2("", "200000 100000"), 2, id="v2, moved out of its namespace"),
        pytest.param(2, in_v2("/") | v2("", "800000 100000"), 2, id="a quota above the mask"),
        pytest.param(8, in_v2("/") | v2("", "2000000 100000"), 4, id="a quota above four"),
        # parts of a core
        pytest.param(8, in_v2("/") | v2("", "299999 100000"), 2, id="almost three"),
        pytest.param(8, in_v2("/") | v2("", "50000 100000"), 1, id="half a core"),
        # version 1
        pytest.param(8, in_v1("/") | v1("", 200_000), 2, id="v1 in its own namespace"),
        pytest.param(3, in_v1("/") | v1("", -1), 3, id="v1 without a quota"),
        pytest.param(8, in_v1("/a/b") | v1("/a/b", -1) | v1("/a", 75_000, 25_000), 3, id="v1, parent"),
        pytest.param(8, in_v1("/docker/x") | v1("", 200_000), 2, id="v1, the host's path in a container"),
        pytest.param(3, {"proc/self/cgroup": "3:cpuset:/\n"} | v1("", 100_000), 3, id="v1 without the cpu controller"),
        # a kernel that says what no kernel should
        pytest.param(3, in_v2("/") | v2("", "0 0"), 3, id="a quota of nothing"),
        pytest.param(3, in_v2("/") | v2("", ""), 3, id="an empty file"),
    ],
)  # fmt: skip
def test_whole_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, files: dict[str, str], workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert auto_workers(tmp_path) == workers


def test_this_machine() -> None:
    assert 1 <= auto_workers() <= min(4, len(os.sched_getaffinity(0)))
