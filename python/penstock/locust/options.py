"""The options that are added to locust's command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from locust import events

from penstock.locust.private import round_percentiles_with
from penstock.locust.rows import three_digits

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

__all__ = ["add_options", "keep_digits"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """Add the options of a streaming user."""
    parser.add_argument(
        "--model", metavar="NAME", env_var="PENSTOCK_LOCUST_MODEL", help="Model for every user class (default: its own)"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        default=128,
        env_var="PENSTOCK_LOCUST_MAX_TOKENS",
        help="Output tokens of an answer, at most (default: 128)",
    )
    parser.add_argument(
        "--prompt-words",
        type=int,
        metavar="N",
        default=64,
        env_var="PENSTOCK_LOCUST_PROMPT_WORDS",
        help="Words of a prompt, where the locustfile gives none (default: 64)",
    )
    parser.add_argument(
        "--unique-prompts",
        action="store_true",
        env_var="PENSTOCK_LOCUST_UNIQUE_PROMPTS",
        help="Begin every prompt differently, so that no prefix cache knows it",
    )
    parser.add_argument(
        "--think-time",
        type=float,
        metavar="SECONDS",
        default=0.0,
        env_var="PENSTOCK_LOCUST_THINK_TIME",
        help="Seconds from an answer to the user's next request, where its class has no wait_time (default: 0)",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def keep_digits(environment: Environment, **_: object) -> None:
    """Round less than locust does, which keeps percentiles as counts of rounded values."""
    round_percentiles_with(three_digits)
