"""What a person sees when Penstock starts: on standard error, once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from penstock import __version__

if TYPE_CHECKING:
    from penstock.config.settings import Settings
    from penstock.server.service import Service

__all__ = ["greet"]

# Backends that answer do so within this time; the banner says of the others that they do not.
PROBE_SECONDS = 2.0


async def greet(service: Service) -> None:
    """Print the banner once every backend has been probed, or is slow to answer."""
    for _ in range(int(PROBE_SECONDS / 0.05)):
        if all(probe.reason != "not probed yet" for probe in service.prober.probes):
            break
        await asyncio.sleep(0.05)
    # The access log may share the terminal: nothing of the banner may be cut by it.
    console = Console(stderr=True, color_system=color_system(), highlight=False, soft_wrap=True)
    settings = service.settings
    admin = settings.admin.listen
    at_admin = str(admin) if admin.path is not None else f"http://{admin.host}:{service.admin_port}"
    console.print(f"\n[bold]Penstock {__version__}[/bold]  {base_url(service)}  (admin {at_admin}/metrics)")
    console.print(tiers_table(settings))
    console.print(backends_table(service))
    for warning in (*settings.warnings, *service.notices):
        console.print(f"[yellow]warning:[/yellow] {warning}", markup=True)
    tier = next(iter(settings.tiers.values()), None)
    if tier is not None:
        console.print("Try:")
        console.print(curl_line(service, tier.models[0], "Name three rivers."), markup=False)
        console.print()
    sys.stderr.flush()


def base_url(service: Service) -> str:
    """Return where clients find it."""
    listen = service.settings.listen
    if listen.path is not None:
        return str(listen)
    host = listen.host or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{service.port}"


def color_system() -> Literal["auto"] | None:
    """Return rich's color system; none at all where NO_COLOR is set, whatever its value (no-color.org)."""
    return None if os.environ.get("NO_COLOR") else "auto"


def curl_line(service: Service, model: str, question: str, *, stream: bool = False) -> str:
    """Return a line that works when pasted."""
    listen = service.settings.listen
    where = f"--unix-socket {listen.path} http://localhost" if listen.path is not None else base_url(service)
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    if stream:
        body["stream"] = True
    flag = "-N " if stream else ""
    header = "-H 'content-type: application/json'"
    return f"  curl {flag}{where}/v1/chat/completions {header} -d '{json.dumps(body)}'"


def tiers_table(settings: Settings) -> Table:
    """Return the tiers with their models, limits and backends."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("tier", "models", "limit", "queue", "backends"):
        table.add_column(title)
    for tier in settings.tiers.values():
        limit = "-" if tier.concurrency is None else str(tier.concurrency)
        queue = f"{tier.queue.requests} for {tier.queue.wait:g} s"
        table.add_row(tier.name, ", ".join(tier.models), limit, queue, ", ".join(tier.backends))
    return table


def backends_table(service: Service) -> Table:
    """Return the backends with their limits and what the probes say."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("backend", "url", "serves", "limit", "health"):
        table.add_column(title)
    for probe in service.prober.probes:
        backend = probe.backend
        health = "[green]healthy[/green]" if probe.usable else f"[red]{probe.reason}[/red]"
        table.add_row(backend.name, str(backend.url), probe.serves or "?", str(backend.concurrency), health)
    return table
