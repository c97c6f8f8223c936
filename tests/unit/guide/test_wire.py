"""`penstock guide wire` has every rule that the sources name."""

from __future__ import annotations

import re

from tests.unit.guide.pages import PAGES, RUST, name, section, table, words_of

RULE = r"\b[PQ][1-9][0-9]?\b"


def test_every_rule_of_answers() -> None:
    rules = [name(row["rule"]) for row in table("wire", "rule", "stream")]
    # That of the identity changes every answer, so it is not counted.
    assert rules == ["P1", *words_of("Rule")]


def test_every_rule_that_a_comment_cites_and_no_other() -> None:
    comments = "\n".join(re.findall(r"//.*", RUST))
    assert set(re.findall(RULE, PAGES["wire"])) == set(re.findall(RULE, comments)) | set(words_of("Rule"))


def test_the_warnings() -> None:
    known = {text for text in words_of("Warning") if "=" in text}
    assert set(re.findall(r"`(\w+=\w+)`", section("wire", "Answers to clients"))) == known
