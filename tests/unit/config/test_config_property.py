"""Whatever the text, load_text gives Settings or raises ConfigError (printed in one line for each problem)."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config import ConfigError, Settings, load_text
from penstock.config.redact import redact, to_yaml

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text()
# What has a meaning in YAML, in references or in our keys, beside arbitrary text.
PIECES = st.sampled_from(
    [": ", "- ", "\n", "\n  ", "{", "}", "[", "]", ",", "&a ", "*a", "*engine", "<<: ", "!!str ", "!", "|", ">", "? ",
     "%YAML 1.2", "---", "...", '"', "'", "#", "\t", "\0", "\x85", "\u2028", "\ufeff", "\\ud800", "\\x", "${", "}",
     "${HOME}", "${X:-", "$${", "file:", "file:/dev/null", "0x", "9" * 30, "9" * 5000, "1e999", ".nan", "~", "null",
     "true", "auto", "unix:", "http://", "@", "10%", "2s", "8MiB", "0", "-1"],
)  # fmt: skip
INSERTS = st.one_of(PIECES, st.text(max_size=8))
EDITS = st.lists(st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 40), INSERTS), min_size=1, max_size=6)


def check(text: str) -> None:
    try:
        loaded = load_text(text, "p.yaml")
    except ConfigError as error:
        assert error.problems
        assert len(str(error).split("\n")) == len(error.problems)
        for problem in error.problems:
            assert problem.message
            assert problem.line is None or 1 <= problem.line <= len(text) + 1
    else:
        assert isinstance(loaded, Settings)
        assert to_yaml(redact(loaded))


@settings(max_examples=300, deadline=None)
@given(EDITS)
def test_mutated_files(edits: list[tuple[int, int, str]]) -> None:
    text = EXAMPLE
    for at, removed, inserted in edits:
        text = text[:at] + inserted + text[at + removed :]
    check(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(INSERTS, max_size=30).map("".join))
def test_arbitrary_texts(text: str) -> None:
    check(text)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_lines_in_another_order(data: st.DataObject) -> None:
    lines = EXAMPLE.splitlines()
    picked = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=40))
    check("\n".join(lines[at] for at in picked))
