"""The sockets that Penstock listens on."""

from __future__ import annotations

import errno
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.config.settings import Address

__all__ = ["ListenError", "bind"]

# Connections that the kernel may complete before they are accepted; somaxconn bounds it too.
BACKLOG = 4096


class ListenError(PenstockError):
    """An address cannot be listened on."""


def bind(address: Address) -> socket.socket:
    """Return a listening socket.

    Raises:
        ListenError: naming the address and the reason.
    """
    try:
        return _bind_unix(address.path) if address.path is not None else _bind_tcp(address)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "another process listens there" if in_use else (error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {reason}") from error


def _bind_tcp(address: Address) -> socket.socket:
    host = address.host or None
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # All interfaces: the IPv6 wildcard takes IPv4 connections too.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET6 if host is None else 0)
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host is not None))
    return _listen(listener, place)


def _bind_unix(path: str) -> socket.socket:
    _remove_stale(path)
    return _listen(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)


def _listen(listener: socket.socket, place: Any) -> socket.socket:
    try:
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more; a crash leaves one behind."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
