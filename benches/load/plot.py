"""CPU beside nginx's as an SVG: a bar for each peer and case, on a scale where each step is ten times the last."""

from __future__ import annotations

import json
import sys
from html import escape
from math import log10
from pathlib import Path
from typing import Any

__all__ = ["draw"]

WIDTH, LEFT, RIGHT, TOP = 760, 130, 70, 58
BAR, GAP = 14, 16
# Of Okabe and Ito's set, which colour-blind readers can tell apart; on light and on dark pages.
COLOURS = {"json": ("#0072b2", "#56b4e9"), "paced": ("#d55e00", "#ff8c42"), "saturated": ("#007a5a", "#2fcf9f")}
LABELS = {"json": "JSON request", "paced": "streamed event, paced", "saturated": "streamed event, saturated"}
LEAST = 0.5


def draw(data: dict[str, Any]) -> str:
    """Return the plot of one run."""
    cases = {name: case for name, case in data["cases"].items() if name in COLOURS}
    ratios = {
        (peer, name): entry["ratio"]
        for name, case in cases.items()
        for peer, entry in case["peers"].items()
        if "ratio" in entry
    }
    peers = list(dict.fromkeys(peer for peer, _ in ratios))
    most = max(*ratios.values(), 10.0)
    height = TOP + len(peers) * (len(cases) * BAR + GAP) + 34

    def x(ratio: float) -> float:
        share = log10(max(ratio, LEAST) / LEAST) / log10(most / LEAST)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    parts = []
    step = 1.0
    while step <= most:
        dash = "" if step == 1 else ' stroke-dasharray="2 4"'
        parts.append(f'<path class="grid" d="M{x(step)} {TOP - 6}V{height - 26}"{dash}/>')
        parts.append(f'<text x="{x(step)}" y="{height - 10}" text-anchor="middle">{step:g} x</text>')
        step *= 10
    y = float(TOP)
    for peer in peers:
        middle = y + len(cases) * BAR / 2 + 4
        parts.append(f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end" class="peer">{escape(peer)}</text>')
        for name in cases:
            ratio = ratios.get((peer, name))
            if ratio is not None:
                width = max(round(x(ratio) - LEFT, 1), 1)
                parts.append(f'<rect class="{name}" x="{LEFT}" y="{y}" width="{width}" height="{BAR - 2}"/>')
                parts.append(f'<text x="{LEFT + width + 5}" y="{y + BAR - 4}">{ratio:.2f}</text>')
            y += BAR
        y += GAP
    legend = LEFT
    for name in cases:
        parts.append(f'<rect class="{name}" x="{legend}" y="30" width="12" height="12"/>')
        parts.append(f'<text x="{legend + 17}" y="40">{LABELS[name]}</text>')
        legend += 190
    light = "".join(f".{name}{{fill:{colours[0]}}}" for name, colours in COLOURS.items())
    dark = "".join(f".{name}{{fill:{colours[1]}}}" for name, colours in COLOURS.items())
    style = (
        "text{font:12px system-ui,sans-serif;fill:#222}.peer{font-weight:600}.grid{stroke:#999;fill:none}"
        f"{light}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}.grid{{stroke:#777}}{dark}}}"
    )
    title = f"CPU of a request and of a streamed event, times nginx, {data['date']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{style}</style>"
        f'<text x="{LEFT}" y="18" class="peer">{escape(title)}</text>' + "".join(parts) + "</svg>\n"
    )


if __name__ == "__main__":
    print(draw(json.loads(Path(sys.argv[1]).read_text())), end="")
