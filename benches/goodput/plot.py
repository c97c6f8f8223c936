"""Goodput against load as an SVG: lines that differ in colour, dash and marker, on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Any

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 44, 106
TICKS = 6


@dataclass(frozen=True)
class Style:
    """How a policy is drawn. Colours are of Okabe and Ito's set, which colour-blind readers can tell apart."""

    name: str
    light: str
    dark: str
    dash: str
    marker: str
    """An SVG path around 0,0."""


CIRCLE = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"
SQUARE = "M-3.5-3.5h7v7h-7z"
TRIANGLE = "M0-4.5 4.2 3.2H-4.2z"
DIAMOND = "M0-5 5 0 0 5-5 0z"
PYRAMID = "M0 4.5 4.2-3.2H-4.2z"
STYLES = {
    "penstock": Style("Penstock", "#0072b2", "#56b4e9", "", CIRCLE),
    "pass-through": Style("pass-through", "#d55e00", "#ff8c42", "8 4", SQUARE),
    "slot cap": Style("FIFO + slot cap", "#8a6d00", "#f0e442", "2 3", TRIANGLE),
    "penstock x4": Style("Penstock x 4", "#007a5a", "#2fcf9f", "12 3", DIAMOND),
    "round robin x4": Style("round robin x 4", "#a8487f", "#e89ac7", "8 3 2 3", PYRAMID),
}


@dataclass(frozen=True)
class Scale:
    """From values to places."""

    most: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.begin + (self.end - self.begin) * value / self.most, 1)


def draw(results: dict[str, Any], mix: str) -> str:
    """Return the plot of one mix."""
    points = [each for each in results["points"] if each["mix"] == mix]
    top = max(each["good_most"] for each in points)
    x = Scale(max(each["load"] for each in points), LEFT, WIDTH - RIGHT)
    y = Scale(ceil(top / _step(top)) * _step(top), HEIGHT - BOTTOM, TOP)
    title = f"Goodput against load by policy: {mix}, simulated"
    capacity = results["capacity"][mix]
    about = f"Load 1 is the capacity, {capacity:.2f} requests a second. Vertical strokes: all seeds."
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f'  aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(about)}</desc>",
        _css(),
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(LEFT, 24, title, "name"),
        *_axes(x, y),
        *_offered(x, y, capacity),
    ]
    drawn = [policy for policy in STYLES if any(each["policy"] == policy for each in points)]
    for policy in drawn:
        mine = sorted((each for each in points if each["policy"] == policy), key=lambda each: each["load"])
        lines += _line(policy, mine, x, y)
    return "\n".join([*lines, *_legend(drawn), "</svg>"]) + "\n"


def _css() -> str:
    def colours(shade: str) -> str:
        named = [(at, getattr(style, shade)) for at, style in enumerate(STYLES.values())]
        return "".join(f".s{at}{{stroke:{colour}}}.s{at} .dot{{fill:{colour}}}" for at, colour in named)

    return (
        "<style>text{font:13px system-ui,sans-serif;fill:#1c2128}.name{font-size:15px;font-weight:600}"
        ".page{fill:#fff}.grid{stroke:#d5dae0}.axis,.offered{stroke:#57606a}.offered{stroke-dasharray:1 5}"
        "path,line,polyline{fill:none;stroke-width:2}.grid,.axis,.spread,.dot{stroke-width:1}"
        f"{colours('light')}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.grid{stroke:#30363d}"
        f".axis,.offered{{stroke:#9da7b3}}{colours('dark')}}}</style>"
    )


def _axes(x: Scale, y: Scale) -> Iterator[str]:
    step = _step(y.most)
    for at in range(round(y.most / step) + 1):
        value = at * step
        yield f'<line class="grid" x1="{x.begin}" y1="{y(value)}" x2="{x.end}" y2="{y(value)}"/>'
        yield _text(LEFT - 8, y(value) + 4, f"{value:g}", anchor="end")
    step = _step(x.most)
    for at in range(floor(x.most / step + 1e-9) + 1):
        value = at * step
        yield f'<line class="axis" x1="{x(value)}" y1="{y.begin}" x2="{x(value)}" y2="{y.begin + 5}"/>'
        yield _text(x(value), y.begin + 20, f"{value:g}", anchor="middle")
    yield f'<line class="axis" x1="{x.begin}" y1="{y.begin}" x2="{x.end}" y2="{y.begin}"/>'
    yield _text((x.begin + x.end) / 2, y.begin + 40, "load, in parts of the capacity", anchor="middle")
    middle = (y.begin + y.end) / 2
    text = "good requests a second and backend"
    yield f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{text}</text>'


def _offered(x: Scale, y: Scale, capacity: float) -> Iterator[str]:
    """Yield the line that nothing can be above: all that is asked for."""
    load = min(x.most, y.most / capacity)
    yield f'<line class="offered" x1="{x(0)}" y1="{y(0)}" x2="{x(load)}" y2="{y(load * capacity)}"/>'
    anchor = "end" if load > x.most / 2 else "start"
    yield _text(x(load) + (-10 if anchor == "end" else 6), y(load * capacity) + 12, "offered", anchor=anchor)


def _line(policy: str, points: list[dict[str, Any]], x: Scale, y: Scale) -> Iterator[str]:
    style, shade = STYLES[policy], f"s{list(STYLES).index(policy)}"
    places = " ".join(f"{x(each['load'])},{y(each['good'])}" for each in points)
    yield f'<g class="{shade}"><title>{escape(style.name)}</title>'
    yield f'<polyline stroke-dasharray="{style.dash or "none"}" points="{places}"/>'
    for each in points:
        at = x(each["load"])
        yield f'<line class="spread" x1="{at}" y1="{y(each["good_least"])}" x2="{at}" y2="{y(each["good_most"])}"/>'
        yield f'<path class="dot" transform="translate({at} {y(each["good"])})" d="{style.marker}"/>'
    yield "</g>"


def _legend(policies: list[str]) -> Iterator[str]:
    wide = (WIDTH - LEFT - RIGHT) / 3
    for at, policy in enumerate(policies):
        style, shade = STYLES[policy], f"s{list(STYLES).index(policy)}"
        left, middle = LEFT + at % 3 * wide, HEIGHT - 42 + at // 3 * 22
        yield f'<g class="{shade}"><line stroke-dasharray="{style.dash or "none"}" x1="{left}" y1="{middle}" '
        yield f'x2="{left + 44}" y2="{middle}"/>'
        yield f'<path class="dot" transform="translate({left + 22} {middle})" d="{style.marker}"/></g>'
        yield _text(left + 52, middle + 4, style.name)


def _text(x: float, y: float, text: str, kind: str = "label", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _step(most: float) -> float:
    """Return a round distance between ticks, for about TICKS of them."""
    unit = 10.0 ** floor(log10(most / TICKS))
    return unit * next(round_one for round_one in (1, 2, 5, 10) if round_one * unit >= most / TICKS)
