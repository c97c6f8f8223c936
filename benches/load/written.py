"""Results as dated data."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

from penstock import __version__

__all__ = ["circumstances", "write"]


def circumstances() -> dict[str, Any]:
    """Return when and where a figure was measured."""
    return {
        "date": datetime.date.today().isoformat(),
        "penstock": __version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def write(folder: str | Path | None, name: str, data: dict[str, Any]) -> Path | None:
    """Write data with its circumstances to ``<folder>/<date>-<name>.json``; without a folder nothing."""
    if folder is None:
        return None
    about = circumstances()
    path = Path(folder) / f"{about['date']}-{name}.json"
    path.write_text(json.dumps(about | data, indent=1) + "\n")
    return path
