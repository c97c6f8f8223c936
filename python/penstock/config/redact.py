"""Settings as a person may see them: every key with its effective value, and no secret."""

from __future__ import annotations

from typing import Any

import yaml

from penstock.config.group import Group
from penstock.config.loader import core_value
from penstock.config.settings import Settings


def redact(settings: Settings) -> dict[str, Any]:
    """The settings in the form of the file, as JSON values; durations and sizes in human form.

    Tokens, keys and all header values of backends become ``"<redacted>"``. URLs hold no secrets: one with a user or
    password is refused when the file is loaded.
    """
    shown: dict[str, Any] = Group(Settings).show(settings)
    return shown


def to_yaml(value: dict[str, Any]) -> str:
    """The same as YAML; every string that YAML 1.2 would read as something else is quoted."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, and quotes by YAML 1.2: PyYAML alone would write the string ``0o17`` plain, which is 15."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(core_value(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)
