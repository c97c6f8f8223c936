"""`penstock version`."""

from __future__ import annotations

import platform
import sys

import click
import orjson

from penstock import __version__

__all__ = ["version"]


@click.command(short_help="Print the version.")
@click.option("--json", "as_json", is_flag=True, envvar="PENSTOCK_JSON", show_envvar=True, help="Print as JSON.")
def version(as_json: bool) -> None:
    """Print the versions of Penstock and of the Python that it runs on."""
    python = platform.python_version()
    if as_json:
        click.echo(orjson.dumps({"version": __version__, "python": python, "platform": sys.platform}))
    else:
        click.echo(f"penstock {__version__} (Python {python}, {sys.platform})")
