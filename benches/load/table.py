"""The results as a table that people read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["render"]


def render(data: dict[str, Any]) -> str:
    """Return Markdown: a row for each peer, a column for each case, misses in bold."""
    cases = data["cases"]
    names = list(dict.fromkeys(name for case in cases.values() for name in case["peers"]))
    head = ["µs of CPU (times nginx)", *(f"{case['what']}" for case in cases.values())]
    rows = []
    for name in names:
        row = [name]
        for case in cases.values():
            entry = case["peers"].get(name)
            row.append("—" if entry is None else cell(entry, case["most"] if name == "penstock" else None))
        rows.append(row)
    rows.append(["*aim for Penstock*", *(f"≤ {case['most']} x" if case["most"] else "" for case in cases.values())])
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    about = (
        f"{data['date']}, {data['cores']} cores ({data['machine']}), Linux {data['kernel']}, Python {data['python']}, "
        f"{data['nginx']}; medians of {data['rounds']} alternated rounds of {data['seconds']:g} s, one core for the "
        "gateway. **Bold**: the aim is missed."
    )
    return "\n".join([*lines, "", about, ""])


def cell(entry: dict[str, Any], most: float | None) -> str:
    """Return one figure."""
    ratio = entry.get("ratio")
    text = f"{entry['cpu_us']:.2f}" + (f" ({ratio:.2f} x)" if ratio is not None else "")
    return f"**{text}**" if most is not None and ratio is not None and ratio > most else text


if __name__ == "__main__":
    print(render(json.loads(Path(sys.argv[1]).read_text())))
