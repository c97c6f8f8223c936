"""A package of a registry, fetched once into a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["InstallError", "Package", "Registry"]

AS_OF = "2026-11-20T00:00:00Z"
"""Nothing that was published later is taken: this pins what a package depends on, for which we name no versions."""
LONGEST_INSTALL_SECONDS = 900


class InstallError(Exception):
    """A registry did not give what was asked for; the text is its client's first complaint."""


class Registry(Enum):
    """Whose client fetches a package."""

    PYPI = "PyPI"
    NPM = "npm"


@dataclass(frozen=True)
class Package:
    """One version of one package, in ``home/<name>``."""

    registry: Registry
    name: str
    requirements: tuple[str, ...]
    """Names and exact versions, as the registry's client writes them: of the package, then of those that it depends on
    and the newest of which will not do."""
    program: str
    """What is run, relative to the folder."""

    @property
    def version(self) -> str:
        """The package itself, with its version."""
        return self.requirements[0]

    def path(self, home: Path) -> Path:
        """The program that is run."""
        return home / self.name / self.program

    def missing(self, home: Path) -> str | None:
        """Why it cannot run; None if this very version is there."""
        stamp = self._stamp(home)
        if stamp.is_file() and stamp.read_text() == self._contents:
            return None
        return f"{self.version} is not installed (make bench-rivals)"

    def install(self, home: Path) -> None:
        """Fetches it, unless it is there.

        No code of a package runs meanwhile: of PyPI only wheels are taken, and of npm no install scripts are run.

        Raises:
            InstallError: the client failed, or took longer than `LONGEST_INSTALL_SECONDS`.

        """
        if self.missing(home) is None:
            return
        folder = home / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        match self.registry:
            case Registry.PYPI:
                python = folder / "bin" / "python"
                run(sys.executable, "-m", "venv", "--without-pip", str(folder))
                # pip is this interpreter's: the one that venv would bring is too old for a date.
                pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install"]
                run(*pip, "--only-binary", ":all:", "--uploaded-prior-to", AS_OF, *self.requirements)
            case Registry.NPM:
                package, *others = self.requirements
                overrides = {name: version for name, _, version in (other.rpartition("@") for other in others)}
                (folder / "package.json").write_text(json.dumps({"private": True, "overrides": overrides}))
                npm = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
                run(*npm, "--ignore-scripts", "--save-exact", "--before", AS_OF, package)
        if not self.path(home).exists():
            raise InstallError(f"{self.version} brought no {self.program}")
        # Written last, so that an install that was cut off is done again.
        self._stamp(home).write_text(self._contents)

    @property
    def _contents(self) -> str:
        return f"{' '.join(self.requirements)} as of {AS_OF}\n"

    def _stamp(self, home: Path) -> Path:
        return home / self.name / "installed"


def run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_INSTALL_SECONDS, check=False)
    except FileNotFoundError:
        raise InstallError(f"{command[0]} not found") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{command[0]} took longer than {LONGEST_INSTALL_SECONDS} s") from None
    if done.returncode:
        # The first complaint is the cause; what follows is advice.
        said = done.stderr.splitlines() + done.stdout.splitlines()
        causes = [line for line in said if line.startswith(("ERROR", "npm error"))]
        raise InstallError(next(iter(causes or said), f"{command[0]} ended with {done.returncode}"))
