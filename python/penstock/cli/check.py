"""``penstock check``: is this configuration file usable?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.options import config_file
from penstock.config import ConfigError, load

if TYPE_CHECKING:
    from penstock.config import Problem

EXIT_INVALID = ConfigError.exit_code


@click.command(short_help="Check a configuration file.")
@config_file
@click.option("--json", "as_json", is_flag=True, envvar="PENSTOCK_JSON", show_envvar=True, help="Report as JSON.")
@click.pass_context
def check(context: click.Context, path: str, as_json: bool) -> None:
    """Check a configuration file without starting anything.

    Every problem is reported at once, with its line, the path of the key and the nearest valid name. No backend is
    contacted; variables such as ${API_KEY} are taken from this environment.

    \b
    Example:
      penstock check -c penstock.yaml
      penstock.yaml:12:5: tiers.instant.quue: unknown key; did you mean "queue"?

    Exit code: 0 valid, 2 not valid.
    """
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    summary = ""
    try:
        settings = load(path)
        warnings = settings.warnings
        summary = f"{path}: valid; tiers: {', '.join(settings.tiers)}; backends: {', '.join(settings.backends)}"
    except ConfigError as error:
        errors = error.problems
        summary = f"{path}: not valid; {len(errors)} {'error' if len(errors) == 1 else 'errors'}"
    if as_json:
        report = {
            "valid": not errors,
            "errors": [_as_json(problem) for problem in errors],
            "warnings": [_as_json(problem) for problem in warnings],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for problem in errors:
            click.echo(str(problem), err=True)
        for problem in warnings:
            click.echo(f"warning: {problem}", err=True)
        click.echo(summary, err=True)
    context.exit(EXIT_INVALID if errors else 0)


def _as_json(problem: Problem) -> dict[str, Any]:
    """Return one entry of the JSON report."""
    return {
        "file": problem.file,
        "line": problem.line,
        "path": problem.path,
        "message": problem.message,
        "suggestion": problem.suggestion,
    }
