"""The banner that is printed to standard error when Penstock has started."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock import __version__

if TYPE_CHECKING:
    from penstock.app.control import Control
    from penstock.config.address import Address
    from penstock.config.settings import Settings
    from penstock.upstream.probe import Prober

__all__ = ["print_banner"]

# The banner waits so long for the first probes; backends without an answer are shown as not probed.
PROBE_SECONDS = 2.0


async def print_banner(control: Control) -> None:
    """Print the banner once every backend has been probed, or after `PROBE_SECONDS`."""
    for _ in range(int(PROBE_SECONDS / 0.05)):
        if all(probe.reason != "not probed yet" for probe in control.prober.probes):
            break
        await asyncio.sleep(0.05)
    # The access log may share the terminal, so rich must not wrap lines or move the cursor.
    console = Console(stderr=True, color_system=color_system(), highlight=False, soft_wrap=True, emoji=False)
    settings = control.settings
    listen, admin = escape(base_url(settings.listen)), escape(base_url(settings.admin.listen))
    console.print(f"\n[bold]Penstock {__version__}[/bold]  {listen}  (admin {admin}/metrics)")
    console.print(tiers_table(settings))
    console.print(backends_table(control.prober))
    for warning in settings.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(str(warning))}", markup=True)
    tier = next(iter(settings.tiers.values()), None)
    if tier is not None:
        console.print("Try:")
        console.print(curl_line(settings.listen, tier.models[0], "Name three rivers."), markup=False)
        console.print()
    sys.stderr.flush()


def base_url(listen: Address) -> str:
    """Return where clients find a listener."""
    if listen.path is not None:
        return str(listen)
    return f"http://{dataclasses.replace(listen, host=listen.host or '127.0.0.1')}"


def color_system() -> Literal["auto"] | None:
    """Return rich's color system; none at all where NO_COLOR is set, whatever its value (no-color.org)."""
    return None if os.environ.get("NO_COLOR") else "auto"


def curl_line(listen: Address, model: str, question: str, *, stream: bool = False) -> str:
    """Return a line that works when it is pasted into a shell."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    if stream:
        body["stream"] = True
    words = ["curl"]
    if stream:
        words.append("-N")
    if listen.path is not None:
        words += ["--unix-socket", listen.path]
    base = "http://localhost" if listen.path is not None else base_url(listen)
    words += [f"{base}/v1/chat/completions", "-H", "content-type: application/json", "-d", json.dumps(body)]
    return f"  {shlex.join(words)}"


def tiers_table(settings: Settings) -> Table:
    """Return the tiers with their models, limits and backends."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("tier", "models", "limit", "queue", "backends"):
        table.add_column(title)
    for tier in settings.tiers.values():
        limit = "-" if tier.concurrency is None else str(tier.concurrency)
        queue = f"{tier.queue.requests} for {tier.queue.wait:g} s"
        row = (tier.name, ", ".join(tier.models), limit, queue, ", ".join(tier.backends))
        table.add_row(*map(escape, row))
    return table


def backends_table(prober: Prober) -> Table:
    """Return the backends with their limits and what the probes say."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("backend", "url", "serves", "limit", "health"):
        table.add_column(title)
    for probe in prober.probes:
        backend = probe.backend
        health = "[green]healthy[/green]" if probe.health == "healthy" else f"[red]{escape(probe.reason or '')}[/red]"
        row = (backend.name, str(backend.url), probe.serves or "?", str(backend.concurrency))
        table.add_row(*map(escape, row), health)
    return table
