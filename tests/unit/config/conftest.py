from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config import ConfigError, load_text

MINIMAL = """\
backends:
  a1: {url: http://h:8000, concurrency: 4}
tiers:
  instant: {models: [m], backends: [a1]}
"""


@pytest.fixture(scope="session")
def minimal() -> str:
    """The shortest valid file; four lines."""
    return MINIMAL


@pytest.fixture(scope="session")
def example() -> str:
    """A file with every key of this version."""
    return (Path(__file__).parent / "example.yaml").read_text()


@pytest.fixture(scope="session")
def refuse() -> Callable[[str], list[str]]:
    """The problems of a text, one line each; fails if it is accepted."""

    def problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, "p.yaml")
        return str(caught.value).split("\n")

    return problems
