"""``penstock guide``: the reference pages, in the terminal."""

from __future__ import annotations

import difflib
import os
import sys
from importlib import resources
from typing import Any

import click

__all__ = ["guide"]


def _page(topic: str) -> str:
    return resources.files("penstock.guide").joinpath(f"{topic}.md").read_text(encoding="utf-8")


def _topics() -> list[str]:
    pages = resources.files("penstock.guide").iterdir()
    return sorted(page.name.removesuffix(".md") for page in pages if page.name.endswith(".md"))


class _Topic(click.Choice[str]):
    """A topic in any case; of a name that is none the message says which one is nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = difflib.get_close_matches(str(value).lower(), self.choices, 1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else f"the topics are {', '.join(self.choices)}"
        return f'there is no topic "{value}"; {hint}'


@click.command(short_help="Show a page of the reference.")
@click.argument("topic", required=False, metavar="[TOPIC]", type=_Topic(_topics(), case_sensitive=False))
def guide(topic: str | None) -> None:
    """Show a page of the reference; without a TOPIC, list them.

    On a terminal a page is laid out, and paged if it is longer than the screen (PAGER, LESS). Elsewhere it is printed
    as it was written, one rule a line.

    \b
    Example:
      penstock guide errors
      penstock guide errors | grep queue_full

    Exit code: 0, or 2 if there is no such topic.
    """
    if topic is None:
        _list()
    elif sys.stdout.isatty():
        _show(_page(topic))
    else:
        click.echo(_page(topic), nl=False)


def _list() -> None:
    """Print each topic with what its page's first line says: ``# Name: what it is about``."""
    topics = _topics()
    width = max(map(len, topics))
    for topic in topics:
        title = _page(topic).partition("\n")[0]
        click.echo(f"{topic:<{width}}  {title.partition(': ')[2]}")


def _show(text: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and needed only to show a page
    from rich.markdown import Markdown  # noqa: PLC0415

    from penstock.cli.banner import color_system  # noqa: PLC0415

    console = Console(color_system=color_system(), highlight=False)
    with console.capture() as laid_out:
        console.print(Markdown(text))
    # A page that fits the screen stays there and asks for no key, and colours pass.
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager(laid_out.get())
