"""The configuration file: one strict YAML file in, frozen :class:`Settings` out.

The way of a file: ``loader`` (text → tree with places) → ``expand`` (variables) → ``decode`` (tree → the structs of
``schema``) and ``validate`` (rules between keys) → ``build`` (structs → ``Settings``). Every problem that can be found
is found before one ConfigError reports them all.
"""

from __future__ import annotations

from pathlib import Path

from penstock.config import loader
from penstock.config.build import build
from penstock.config.decode import decode
from penstock.config.expand import expand
from penstock.config.problem import Mark, Problem, Report
from penstock.config.settings import Settings
from penstock.config.validate import validate
from penstock.errors import ConfigError

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
    file = decode(root, report)
    validate(root, report)
    report.raise_errors()
    assert file is not None  # None only with an error in the report
    return build(file, source, report.warnings)
