"""The pages can be reached, and what they and others refer to is there."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.guide.pages import PAGES, ROOT

from penstock.cli.guide import guide

CITED = re.compile(r"`?penstock guide\s+([a-z]+)")
PATH = re.compile(r"\b(?:rust|python|tests|benches)/[\w./-]*\w|\b[\w-]+\.(?:rs|py|toml|md)\b")
LINK = re.compile(r"\]\(([^)#:]+)[^)]*\)")


def sources() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "benches/README.md"]
    for folder, suffix in (("rust", "rs"), ("rust", "md"), ("python", "py"), ("python", "md")):
        found += [path for path in (ROOT / folder).rglob(f"*.{suffix}") if "target" not in path.parts]
    return found


@pytest.mark.parametrize("topic", PAGES)
def test_every_topic_is_reachable(topic: str) -> None:
    shown = CliRunner().invoke(guide, [topic])
    assert (shown.exit_code, shown.stdout) == (0, PAGES[topic])


@pytest.mark.parametrize("topic", PAGES)
def test_a_page_says_in_its_first_line_what_it_is_about(topic: str) -> None:
    assert re.match(rf"# {topic.capitalize()}: .+\n\n", PAGES[topic])


@pytest.mark.parametrize("topic", PAGES)
def test_a_page_mentions_no_file_that_is_not_there(topic: str) -> None:
    assert [path for path in PATH.findall(PAGES[topic]) if not (ROOT / path).exists()] == []


def test_whoever_cites_a_page_cites_one_that_is_there() -> None:
    cited = {(path.relative_to(ROOT), topic) for path in sources() for topic in CITED.findall(path.read_text())}
    assert len(cited) > 20
    assert [(path, topic) for path, topic in cited if topic not in PAGES] == []


@pytest.mark.parametrize("file", ["README.md", "benches/README.md"])
def test_links_lead_somewhere(file: str) -> None:
    path = ROOT / file
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert len(links) > 3
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_wheel_leaves_no_page_out() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["maturin"]
    assert build["python-source"] == "python"
    pages = [f"python/penstock/guide/{topic}.md" for topic in PAGES]
    assert all((ROOT / page).is_file() for page in pages)
    assert [page for page in pages if any(fnmatch(page, pattern) for pattern in build["exclude"])] == []
