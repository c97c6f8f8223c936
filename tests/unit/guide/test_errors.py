"""`penstock guide errors` has the codes of the core's table, and those of the admin listener."""

from __future__ import annotations

import re

from tests.unit.guide.pages import ROOT, RUST, name, table


def test_every_code_with_its_status_and_type_and_no_other() -> None:
    types = dict(re.findall(r'ErrorType::(\w+) => "(\w+)"', RUST))
    codes = re.findall(r'^ +\w+ = "(\w+)", (\d{3}), (\w+);$', RUST, re.MULTILINE)
    assert len(codes) > 30
    said = [(name(row["code"]), row["status"], row["type"]) for row in table("errors", "code", "status", "type")]
    assert sorted(said) == sorted((code, status, types[kind]) for code, status, kind in codes)


def test_they_stand_in_the_order_of_their_statuses() -> None:
    statuses = [int(row["status"]) for row in table("errors", "code")]
    assert statuses == sorted(statuses)


def test_what_the_admin_listener_answers() -> None:
    sources = "\n".join(path.read_text() for path in sorted((ROOT / "python/penstock/admin").glob("*.py")))
    written = set(re.findall(r'_error\((\d{3}), "(\w+)", "(\w+)"', sources))
    assert len(written) == 4
    said = {(row["status"], row["type"], name(row["code"])) for row in table("errors", "status", "type", "code")}
    assert written <= said


def test_codes_in_the_other_tables_exist() -> None:
    known = {name(row["code"]) for row in table("errors", "code")}
    rows = table("errors", "the model server", "second try")
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row["else the client gets"])} - {"param"} <= known
    rows = table("errors", "header", "on")
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row["on"])} <= known
