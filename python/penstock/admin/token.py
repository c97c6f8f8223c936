"""The admin token: from the configuration, the environment, or generated and left in a file of the run directory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import PenstockError
from penstock.net.listener import key_of

if TYPE_CHECKING:
    from penstock.config.address import Address
    from penstock.config.settings import Admin

__all__ = ["CURE", "given_token", "own_run_directory", "remove_token", "write_token"]

CURE = "set XDG_RUNTIME_DIR to a folder of your own, or admin.token or PENSTOCK_ADMIN_TOKEN"


def given_token(settings: Admin) -> str | None:
    """Return PENSTOCK_ADMIN_TOKEN, else the configured token, if either is set."""
    return os.environ.get("PENSTOCK_ADMIN_TOKEN") or settings.token


def own_run_directory() -> Path | None:
    """Return the run directory of this user, which may not exist yet.

    It is below XDG_RUNTIME_DIR, or below the temporary folder; None if neither exists, as on a read-only system.
    """
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "penstock"
    try:
        return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"
    except FileNotFoundError:
        return None


def write_token(folder: Path, listen: Address, token: str) -> None:
    """Write the token of the admin listener at `listen` to the run directory, readable by this user alone.

    Raises:
        PenstockError: the folder belongs to another user, who could read the token, or it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PenstockError(f"the run directory {folder} belongs to another user; {CURE}")
        file = _file(folder, listen)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(token)
    except OSError as error:
        raise PenstockError(f"the run directory {folder} cannot be used: {error.strerror}; {CURE}") from error


def remove_token(settings: Admin) -> None:
    """Remove the file if it still has this token: another instance may have replaced it."""
    folder = own_run_directory()
    if folder is None or settings.token is None:
        return
    file = _file(folder, settings.listen)
    with contextlib.suppress(OSError):
        if file.read_bytes() == settings.token.encode():
            file.unlink()


def _file(folder: Path, listen: Address) -> Path:
    return folder / f"{key_of(listen).replace(' ', ':')}.token"
