"""The admin token: configured, from the environment, or made and left where the command line finds it."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.config.settings import Admin

__all__ = ["admin_token", "run_directory"]


def run_directory() -> Path:
    """Return the folder of this user's running instances: below XDG_RUNTIME_DIR, or below the temporary folder."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "penstock" if base else Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"


def admin_token(settings: Admin, port: int) -> str:
    """Return the token (contract §7): PENSTOCK_ADMIN_TOKEN, else the configured one, else a new one.

    A new one is written to `<run directory>/<admin port>.token`, readable by this user alone.
    """
    given = os.environ.get("PENSTOCK_ADMIN_TOKEN") or settings.token
    if given:
        return given
    token = secrets.token_urlsafe(32)
    folder = run_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        # Somebody else made it: a token there would be theirs to read.
        return token
    file = folder / f"{port}.token"
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(token)
    return token
