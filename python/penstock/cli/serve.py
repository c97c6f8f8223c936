"""`penstock serve`."""

from __future__ import annotations

import sys

import click

from penstock.cli.options import config_file

__all__ = ["serve"]


@click.command(short_help="Serve a configuration.")
@config_file
def serve(path: str) -> None:
    """Serve the tiers of a configuration file until SIGTERM.

    SIGTERM finishes what runs and exits 0, or 1 if a worker died meanwhile; Ctrl-C does the same without the drain
    delay, and a second one exits at once. The access log goes to standard output, everything for people to standard
    error.

    \b
    Example:
      penstock serve -c penstock.yaml
    """
    from penstock.app.launch import launch  # noqa: PLC0415
    from penstock.cli.banner import print_banner  # noqa: PLC0415 - the event loop is imported only to serve
    from penstock.config import load  # noqa: PLC0415

    sys.exit(launch(load(path), print_banner))
