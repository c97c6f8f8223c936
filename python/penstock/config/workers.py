"""How many data-plane processes ``workers: auto`` stands for."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# `auto` leaves the other cores to model servers on the same machine; the file may ask for more.
MOST = 4

# For each version of cgroups: where its CPU controller is mounted, and the files that hold quota and period in µs.
_V2 = "sys/fs/cgroup", ("cpu.max",)
_V1 = "sys/fs/cgroup/cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")
# "max" and -1 stand for no quota.
_QUOTA = re.compile(r"([1-9][0-9]*)\s+([1-9][0-9]*)\s*")


def auto_workers(root: Path = Path("/")) -> int:
    """The whole cores that this process may use: at least one, at most ``MOST``.

    Both the affinity mask and the quotas of its cgroups count. Fractions of a core are rounded down: a worker on half a
    core is stopped for half of each period, and its streams with it. ``root`` is the folder above ``proc`` and ``sys``.
    """
    quota = min(_quotas(root), default=math.inf)
    return max(1, int(min(len(os.sched_getaffinity(0)), quota, MOST)))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas, in cores, of the process's cgroups and of all above them, as the smallest one binds."""
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:  # a kernel without cgroups
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount, files = _V1 if controllers else _V2
        # A container in the host's cgroup namespace is given the path on the host, which does not exist below the
        # container's mount. The mount itself is then the container's cgroup.
        names = Path(path).parts[1:]
        for depth in range(len(names) + 1):
            quota = _quota(root.joinpath(mount, *names[:depth]), files)
            if quota is not None:
                yield quota


def _quota(group: Path, files: tuple[str, ...]) -> float | None:
    try:
        texts = [(group / file).read_text() for file in files]
    except OSError:  # the root of all cgroups has none
        return None
    found = _QUOTA.fullmatch("\n".join(texts))
    return None if found is None else int(found[1]) / int(found[2])
