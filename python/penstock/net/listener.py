"""Listening sockets: binding, the backlog, and one name for every way to write an address."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.config.settings import DEFAULT_MODE
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.config.settings import Address

__all__ = ["BACKLOG", "ListenError", "backlog_of", "bind", "bind_each", "claim", "key_of", "remove_socket"]

# Connections that the kernel may complete before they are accepted; net.core.somaxconn is another bound. It must be
# passed to asyncio and aiohttp too, which call listen() again, by default with 100 and 128.
BACKLOG = 4096
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
# In `struct tcp_info` (linux/tcp.h), tcpi_sacked of a listening socket is its maximum backlog.
TCP_INFO_SACKED = 28


class ListenError(PenstockError):
    """An address cannot be listened on."""


def bind(address: Address, mode: int = DEFAULT_MODE) -> socket.socket:
    """Return a listening socket that shares its address with no other. `mode`: permissions of a Unix socket's file.

    Raises:
        ListenError: naming the address and the reason.
    """
    with _naming(address):
        return _listen(_bind_unix(address.path, mode) if address.path is not None else _bind_tcp(address))


def claim(address: Address) -> Address:
    """Check that nobody listens at an address, and return it; port 0 is replaced by one that the system chooses.

    With SO_REUSEPORT a socket can be bound beside those of another server without an error, so `bind_each` could not
    detect that.

    Raises:
        ListenError: naming the address and the reason.
    """
    if address.path is not None:
        return address
    with _naming(address), _bind_tcp(address) as alone:
        return dataclasses.replace(address, port=alone.getsockname()[1])


def bind_each(address: Address, count: int, mode: int = DEFAULT_MODE) -> list[socket.socket]:
    """Return a listening socket for each of `count` workers, at an address that `claim` has checked.

    The kernel distributes TCP connections over them. At a Unix path all workers get the same socket; `mode` is of its
    file.

    Raises:
        ListenError: naming the address and the reason.
    """
    if address.path is not None:
        return [bind(address, mode)] * count
    with _naming(address), contextlib.ExitStack() as stack:
        bound = [stack.enter_context(_bind_tcp(address, socket.SO_REUSEPORT)) for _ in range(count)]
        for listener in bound:
            _listen(listener)
        stack.pop_all()
    return bound


def backlog_of(listener: socket.socket) -> int:
    """Return the backlog that the kernel has really given a listening socket.

    TCP sockets report it; for Unix sockets it is computed from net.core.somaxconn.
    """
    if listener.family == socket.AF_UNIX:
        with contextlib.suppress(OSError, ValueError):
            return min(BACKLOG, int(SOMAXCONN.read_text()))
        return BACKLOG
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SACKED + 4)
    return int.from_bytes(info[TCP_INFO_SACKED:], sys.byteorder)


def remove_socket(address: Address) -> None:
    """Remove the file of a Unix socket that nobody listens on any more; another server's socket is kept."""
    if address.path is not None:
        with contextlib.suppress(OSError):
            _remove_stale(address.path)


def key_of(address: Address) -> str:
    """Return one key for every way to write an address: `<numeric host> <port>`, or a hash of a path.

    Raises:
        OSError: the host name is not known.
    """
    if address.path is None:
        _, (host, port, *_) = _resolve(address)
        return f"{host} {port}"
    # Names of abstract sockets and files, for which the key is used, are shorter than paths may be.
    return hashlib.sha256(str(Path(address.path).resolve()).encode()).hexdigest()[:32]


@contextlib.contextmanager
def _naming(address: Address) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "another process listens there" if in_use else (error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {reason}") from error


def _resolve(address: Address) -> tuple[int, tuple[Any, ...]]:
    """Return the family and the numeric socket address of a TCP address."""
    host = address.host or None
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # For all interfaces prefer the IPv6 wildcard, which accepts IPv4 connections too.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET6 if host is None else 0)
    family, _, _, _, numeric = found[0]
    return family, numeric


def _bind_tcp(address: Address, *options: int) -> socket.socket:
    family, numeric = _resolve(address)
    listener = socket.socket(family, socket.SOCK_STREAM)
    for option in (socket.SO_REUSEADDR, *options):
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(address.host)))
    return _bind(listener, numeric)


def _bind_unix(path: str, mode: int) -> socket.socket:
    _remove_stale(path)
    listener = _bind(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)
    # Set before listen(), so that the file's default permissions let nobody connect in between.
    Path(path).chmod(mode)
    return listener


def _bind(listener: socket.socket, address: Any) -> socket.socket:
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _listen(listener: socket.socket) -> socket.socket:
    try:
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # With a full backlog a blocking connect would wait.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except BlockingIOError:
            return
