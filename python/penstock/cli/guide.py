"""``penstock guide``: the reference pages, in the terminal."""

from __future__ import annotations

from importlib import resources

import click

__all__ = ["guide"]


def _topics() -> list[str]:
    pages = resources.files("penstock.guide").iterdir()
    return sorted(page.name.removesuffix(".md") for page in pages if page.name.endswith(".md"))


@click.command(short_help="Show a reference page.")
@click.argument("topic", required=False, type=click.Choice(_topics()))
def guide(topic: str | None) -> None:
    """Show a page of the reference; without a topic, list them.

    \b
    Example:
      penstock guide limits
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import, and needed only to show a page
    from rich.markdown import Markdown  # noqa: PLC0415

    from penstock.cli.banner import color_system  # noqa: PLC0415

    if topic is None:
        for name in _topics():
            click.echo(name)
        return
    text = resources.files("penstock.guide").joinpath(f"{topic}.md").read_text(encoding="utf-8")
    Console(color_system=color_system(), highlight=False).print(Markdown(text))
