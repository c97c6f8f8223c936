"""The configuration file: one strict YAML file in, frozen :class:`Settings` out.

A file passes through ``loader`` (text to nodes that know their place), ``expand`` (variables), ``group`` with the other
forms (nodes to the Structs of ``settings``) and ``validate`` (rules between keys). All problems are found before one
ConfigError reports them. ``settings`` has all keys, and says how one is added.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from penstock.config import loader
from penstock.config.expand import expand
from penstock.config.form import Place
from penstock.config.group import Group
from penstock.config.problem import ConfigError, Mark, Problem, Report
from penstock.config.settings import Settings
from penstock.config.validate import validate

__all__ = ["ConfigError", "Problem", "Settings", "load", "load_text"]


def load(path: str | Path) -> Settings:
    """Read a configuration file, with the variables of this process's environment.

    Raises:
        ConfigError: the file cannot be read, or anything in it is wrong; it lists every problem.
    """
    report = Report(str(path))
    try:
        with Path(path).open("rb") as file:
            content = file.read(loader.MAX_BYTES + 1)
    except OSError as error:
        raise report.fail(None, (), f"cannot read the file: {error.strerror}") from None
    if len(content) > loader.MAX_BYTES:
        raise report.fail(None, (), f"the file is larger than {loader.MAX_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        start = before.rfind(b"\n") + 1
        mark = Mark(before.count(b"\n") + 1, len(before[start:].decode("utf-8")) + 1)
        raise report.fail(mark, (), f"not valid UTF-8: the byte 0x{content[error.start]:02X}") from None
    return load_text(text, str(path))


def load_text(text: str, source: str) -> Settings:
    """The same for text that is already read; ``source`` names it in messages.

    Raises:
        ConfigError: anything in it is wrong; it lists every problem.
    """
    report = Report(source)
    root = expand(loader.parse(text, report), report)
    settings = Group(Settings).read(root, Place(report, (), root.mark))
    validate(root, report)
    report.raise_errors()
    assert isinstance(settings, Settings)  # it is WRONG only with an error in the report
    return replace(settings, source=source, warnings=report.warnings)
