"""The `penstock` command."""

from __future__ import annotations

import importlib
import sys

import click

from penstock import __version__
from penstock.cli.streams import open_missing
from penstock.errors import PenstockError

__all__ = ["main"]

# Each command lives in penstock.cli.<name>, as an object of that name.
COMMANDS = ("serve", "demo", "check", "config", "sim", "guide", "version")


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"penstock.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def cli() -> None:
    """The gateway in front of GPU model servers.

    \b
    Start here:
      penstock demo                      two tiers on small real models, nothing to configure
      penstock check -c penstock.yaml    is this file right?
      penstock serve -c penstock.yaml    serve it

    \b
    Exit codes: 0 ok, 1 failure, also a worker that died while draining,
    2 usage or bad config, 3 threshold missed, 4 backend unreachable,
    130 interrupted.
    """


def main() -> None:
    """Run the command line; an expected failure is one message, never a traceback."""
    open_missing()
    try:
        cli()
    except PenstockError as error:
        click.echo(f"penstock: {error}", err=True)
        sys.exit(error.exit_code)
