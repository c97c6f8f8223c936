"""``penstock config``: the effective configuration, and the schema of the file."""

from __future__ import annotations

import json

import click

from penstock.cli.options import config_file
from penstock.config import ConfigError, load
from penstock.config.json_schema import json_schema
from penstock.config.redact import redact, to_yaml


@click.group(short_help="Show the effective configuration or its schema.")
def config() -> None:
    """Show what a configuration file means, or how one is written.

    \b
    Example:
      penstock config show -c penstock.yaml
      penstock config schema > penstock.schema.json
    """


@config.command(short_help="Show every effective value, secrets redacted.")
@config_file
@click.option("--json", "as_json", is_flag=True, envvar="PENSTOCK_JSON", show_envvar=True, help="JSON, not YAML.")
@click.pass_context
def show(context: click.Context, path: str, as_json: bool) -> None:
    """Show every value that would be used, defaults included, in the form of the file.

    Keys, tokens and header values appear as "<redacted>".

    \b
    Example:
      penstock config show -c penstock.yaml --json | jq .tiers.instant.queue

    Exit code: 0, or 2 if the file is not valid.
    """
    try:
        settings = load(path)
    except ConfigError as error:
        click.echo(str(error), err=True)
        context.exit(error.exit_code)
    effective = redact(settings)
    click.echo(json.dumps(effective, indent=2, ensure_ascii=False) if as_json else to_yaml(effective), nl=as_json)


@config.command(short_help="Print the JSON Schema of the file.")
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration file, for editors.

    \b
    Example:
      penstock config schema > penstock.schema.json
    and as the first line of penstock.yaml:
      # yaml-language-server: $schema=./penstock.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
