"""The settings as they run: what was left to the system or to chance is filled in, once, for all processes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from penstock.admin.token import admin_token

if TYPE_CHECKING:
    import socket

    from penstock.config.settings import Address, Settings

__all__ = ["effective"]


def effective(settings: Settings, data: socket.socket, admin: socket.socket) -> Settings:
    """Return the settings with the ports of these sockets and with an admin token.

    Raises:
        PenstockError: the run directory is not ours.
    """
    listen = _actual(settings.admin.listen, admin)
    token = admin_token(settings.admin, listen.port)
    return dataclasses.replace(
        settings,
        listen=_actual(settings.listen, data),
        admin=dataclasses.replace(settings.admin, listen=listen, token=token),
    )


def _actual(address: Address, listener: socket.socket) -> Address:
    return address if address.path is not None else dataclasses.replace(address, port=listener.getsockname()[1])
