"""Options that several commands share."""

from __future__ import annotations

import click

__all__ = ["config_file"]

config_file = click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    required=True,
    envvar="PENSTOCK_CONFIG",
    show_envvar=True,
    help="The configuration file.",
)
