"""The settings that all processes run with: ports that the system chose and a generated token are filled in."""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.admin.token import CURE, given_token, own_run_directory, write_token
from penstock.config.problem import Problem
from penstock.config.secret import Secret

if TYPE_CHECKING:
    import socket

    from penstock.config.settings import Address, Settings

__all__ = ["effective_settings"]

NO_FOLDER = f"none is set, and there is no folder to leave one in: /admin/* stays locked; {CURE}"


def effective_settings(settings: Settings, data: socket.socket, admin: socket.socket) -> Settings:
    """Return the settings with the ports of these sockets and with an admin token; a generated one is left in a file.

    Raises:
        PenstockError: the run directory cannot be used.
    """
    listen = _actual(settings.admin.listen, admin)
    warnings = settings.warnings
    token = given_token(settings.admin)
    if token is None:
        token = secrets.token_urlsafe(32)
        folder = own_run_directory()
        if folder is None:
            warnings += (Problem(settings.source, None, None, "admin.token", NO_FOLDER),)
        else:
            write_token(folder, listen, token)
    return replace(
        settings,
        listen=_actual(settings.listen, data),
        admin=replace(settings.admin, listen=listen, token=Secret(token)),
        warnings=warnings,
    )


def _actual(address: Address, listener: socket.socket) -> Address:
    return address if address.path is not None else dataclasses.replace(address, port=listener.getsockname()[1])
