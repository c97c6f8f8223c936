"""Whatever the text, load_text gives Settings or raises ConfigError (printed in one line for each problem)."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.config import ConfigError, Settings, load_text
from penstock.config.redact import redact, to_yaml

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text()
# What has a meaning in YAML, in references or in our keys, beside arbitrary text.
PIECES = st.sampled_from(
    [": ", "- ", "\n", "\n  ", "{", "}", "[", "]", ",", "&a ", "*a", "*engine", "<<: ", "!!str ", "!", "|", ">", "? ",
     "%YAML 1.2", "---", "...", '"', "'", "#", "\t", "\0", "\x85", "\u2028", "\ufeff", "\\ud800", "\\x", "${", "}",
     "${HOME}", "${X:-", "$${", "file:", "file:/dev/null", "0x", "9" * 30, "9" * 5000, "1e999", ".nan", "~", "null",
     "true", "auto", "off", "::/0", "10.0.0.0/8", "unix:", "http://", "@", "10%", "2s", "8MiB", "0", "-1"],
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


NUMBERS = st.integers(1, 1_000_000)
LIMITS = st.none() | st.just("auto") | st.integers(1, 2**53)
AIMS = st.none() | st.integers(1, 10**7).map(lambda ms: f"{ms}ms")
NAMES = st.none() | st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
# Under x-, so that none is the name of a header that frames a message, which the file may not name.
HEADERS = NAMES.map(lambda name: name and f"x-{name}")
ADMISSION = st.fixed_dictionaries(
    {
        "workers": st.integers(1, 64),
        "access": st.fixed_dictionaries({"tenant_header": HEADERS}),
        "trusted_proxies": st.lists(st.ip_addresses(v=4).map(str) | st.integers(0, 32).map("0.0.0.0/{}".format)),
        "backends": st.fixed_dictionaries(
            {
                "a1": st.fixed_dictionaries(
                    {
                        "url": st.just("http://h"),
                        "concurrency": st.integers(0, 1_000_000),
                        "prefill_tokens": LIMITS,
                        "kv_tokens": LIMITS,
                        "weight": st.floats(0.001, 1000) | st.integers(1, 1000),
                    }
                )
            }
        ),
        "tiers": st.fixed_dictionaries(
            {
                "thinking": st.fixed_dictionaries(
                    {"models": st.just(["m"]), "backends": st.just(["a1"])},
                    optional={
                        "share": NUMBERS,
                        "slo": st.fixed_dictionaries({}, optional={"first_token": AIMS, "inter_token": AIMS}),
                        "adaptive": st.sampled_from(["off", False, "observe", "enforce"]),
                        "media_tokens": st.integers(1, 2**31 - 1),
                        "queue": st.fixed_dictionaries({"per_tenant": st.fixed_dictionaries({"requests": NUMBERS})}),
                        "bands": st.fixed_dictionaries(
                            {}, optional={"high": NUMBERS, "normal": NUMBERS, "low": NUMBERS}
                        ),
                        "affinity": st.fixed_dictionaries({}, optional={"prefix": st.booleans(), "header": HEADERS}),
                    },
                )
            }
        ),
    }
)


@settings(max_examples=200, deadline=None)
@given(ADMISSION)
def test_what_is_shown_means_the_same(file: dict[str, Any]) -> None:
    loaded = load_text(to_yaml(file), "p.yaml")
    shown = redact(loaded)
    for text in (to_yaml(shown), json.dumps(shown)):
        # Warnings name lines, which differ.
        assert replace(load_text(text, "p.yaml"), warnings=loaded.warnings) == loaded
