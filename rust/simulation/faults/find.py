"""Puts each known fault back, one by one, and shows how many seeds the simulation needs to find it.

Each `*.patch` beside this file brings one fault back that Penstock once had. It is applied to a copy of the sources; a
patch that no longer applies is an error, as is a fault that is not found.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = ("Cargo.toml", "Cargo.lock", "rust", "benches")
SEEDS = "2000"


def main() -> int:
    """Look for all of them."""
    missed = []
    for patch in sorted(HERE.glob("*.patch")):
        with tempfile.TemporaryDirectory() as folder:
            copy(Path(folder))
            subprocess.run(["patch", "-p1", "--quiet", "--input", patch], cwd=folder, check=True)
            command = [
                "cargo",
                "run",
                "--quiet",
                "-p",
                "penstock-simulation",
                "--target-dir",
                ROOT / "target" / "faults",
            ]
            command += ["--", "--seeds", SEEDS]
            found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        first = found.stdout.partition("\n")[0]
        print(f"{patch.stem:24} {first}", flush=True)
        if found.returncode != 1 or not first.startswith("seed "):
            print(found.stderr, file=sys.stderr)
            missed.append(patch.stem)
    if missed:
        print(f"not found: {', '.join(missed)}")
    return 1 if missed else 0


def copy(folder: Path) -> None:
    """Copy what the simulation is built from."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("target", "results"))
        else:
            shutil.copy(source, folder / name)


if __name__ == "__main__":
    sys.exit(main())
