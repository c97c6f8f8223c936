"""The admin token: configured, from the environment, or made and left where the command line finds it."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.config.settings import Admin

__all__ = ["admin_token", "own_run_directory"]


def own_run_directory() -> Path:
    """Return the folder of this user's running instances, made if need be.

    It is below XDG_RUNTIME_DIR, or below the temporary folder.

    Raises:
        PenstockError: somebody else made it, and could read what is put there.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "penstock" if base else Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PenstockError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR to a folder of your own")
    return folder


def admin_token(settings: Admin, port: int) -> str:
    """Return the token (contract §7): PENSTOCK_ADMIN_TOKEN, else the configured one, else a new one.

    A new one is written to `<run directory>/<admin port>.token`, readable by this user alone.

    Raises:
        PenstockError: the run directory is not ours.
    """
    given = os.environ.get("PENSTOCK_ADMIN_TOKEN") or settings.token
    if given:
        return given
    token = secrets.token_urlsafe(32)
    file = own_run_directory() / f"{port}.token"
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(token)
    return token
