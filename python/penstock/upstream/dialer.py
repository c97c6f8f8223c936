"""Connects to backends: the only way for requests, probes and scrapes alike.

So a probe cannot reach a server that requests cannot reach: both resolve the name, race its addresses, set the socket
options and check the certificate with the same code.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

from penstock.net.keepalive import set_keepalive, set_user_timeout

if TYPE_CHECKING:
    from penstock.config.settings import Backend

__all__ = ["RECEIVE_BUFFER", "ConnectError", "Dialer", "tls_context"]

# SO_RCVBUF: how much of a backend's answer the kernel may hold, and so the most that one read can return. It bounds how
# much more arrives for a client whose stream is paused. The kernel doubles the value for its own bookkeeping.
RECEIVE_BUFFER = 64 << 10
# How long one address is tried alone before the next is tried beside it: the Connection Attempt Delay (RFC 8305 §5).
ATTEMPT_DELAY_SECONDS = 0.25

Protocol = TypeVar("Protocol")
ConnectFault = Literal["refused", "connect", "tls"]
"""Nobody listens there; it cannot be reached for another reason; its certificate is not valid for it."""


class ConnectError(Exception):
    """A connection could not be made. The text says why, in a few words."""

    def __init__(self, kind: ConnectFault, reason: str) -> None:
        super().__init__(reason)
        self.kind: ConnectFault = kind


class SocketAddress(NamedTuple):
    """A numeric socket address, as `socket.getaddrinfo` returns it."""

    family: socket.AddressFamily
    place: tuple[Any, ...]


def tls_context(backend: Backend) -> ssl.SSLContext | None:
    """Return the TLS context for this backend: trusted CAs and client certificate; None for plain HTTP.

    Raises:
        OSError, ssl.SSLError: a configured file cannot be read.
    """
    if backend.url.scheme != "https":
        return None
    files = backend.tls
    context = ssl.create_default_context(cafile=files.ca if files else None)
    if files and files.cert:
        context.load_cert_chain(files.cert, files.key)
    return context


class Dialer:
    """Opens connections to one backend."""

    def __init__(self, backend: Backend) -> None:
        """Read the files that TLS needs.

        Raises:
            OSError, ssl.SSLError: a configured file cannot be read.
        """
        self._url = backend.url
        self._context = tls_context(backend)

    async def dial(self, factory: Callable[[], Protocol]) -> Protocol:
        """Connect a protocol, which `factory` makes, and return it. If it is cancelled, every socket is closed.

        Raises:
            ConnectError: no address of the backend could be connected to, or its certificate is not valid.
        """
        loop = asyncio.get_running_loop()
        # The loop only calls the methods of asyncio.Protocol, of which factory's type need not be a subclass.
        make = cast("Callable[[], asyncio.Protocol]", factory)
        url, context = self._url, self._context
        try:
            if url.path is not None:
                _, protocol = await loop.create_unix_connection(make, url.path)
                return cast("Protocol", protocol)
            connection = await race(interleaved(await resolve(url.host, url.port)))
            try:
                # A certificate's names have no dot at the end (RFC 6125 §6.4).
                name = url.host.rstrip(".") if context else None
                _, protocol = await loop.create_connection(make, sock=connection, ssl=context, server_hostname=name)
            except BaseException:
                connection.close()
                raise
            # The transport owns the descriptor from here on. If it was dropped at once, it has closed the descriptor
            # already; the socket object would close the number again, which by then may belong to another file.
            connection.detach()
        except ssl.SSLError as error:
            raise ConnectError("tls", error.reason or str(error)) from error
        except (OSError, ValueError) as error:  # ValueError: not a possible host name
            is_refused = isinstance(error, (ConnectionRefusedError, FileNotFoundError))
            raise ConnectError("refused" if is_refused else "connect", reason_of(error)) from error
        return cast("Protocol", protocol)


async def resolve(host: str, port: int) -> list[SocketAddress]:
    """Return the addresses of a host in the system's order of preference (RFC 6724).

    Raises:
        OSError: the name is not known, or nobody could be asked.
    """
    try:
        # A numeric address needs no lookup. It must not wait for one of the few resolver threads, all of which may be
        # blocked on a name server.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [SocketAddress(family, place) for family, _, _, _, place in found]


def interleaved(addresses: Sequence[SocketAddress]) -> list[SocketAddress]:
    """Return the addresses with their families alternating, so that a broken family costs one delay (RFC 8305 §4)."""
    families = dict.fromkeys(address.family for address in addresses)
    by_family = ([address for address in addresses if address.family == family] for family in families)
    turns = itertools.zip_longest(*by_family)
    return [address for turn in turns for address in turn if address is not None]


async def race(addresses: Sequence[SocketAddress]) -> socket.socket:
    """Return a socket that is connected to one of the addresses: the first one that answers (RFC 8305 §5).

    The next address is tried when the one before has failed, or has not answered for a while.

    Raises:
        OSError: none could be connected to; the text has all reasons.
    """
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        return await connected(addresses[0])
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(connected(waiting.pop(0))))
            delay = ATTEMPT_DELAY_SECONDS if waiting else None
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                running.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for attempt in running:
            attempt.cancel()
            attempt.add_done_callback(close_if_connected)
    # A refused attempt shows that the server does not listen; an address may be unreachable only from here.
    kind = ConnectionRefusedError if any(isinstance(error, ConnectionRefusedError) for error in errors) else OSError
    raise kind(None, ", ".join(dict.fromkeys(map(reason_of, errors))))


async def connected(address: SocketAddress) -> socket.socket:
    """Return a socket that is connected to this address.

    Raises:
        OSError: it cannot be reached.
    """
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        # Set before connecting, because TCP's window scale is fixed by the handshake (RFC 7323 §2.2).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        set_keepalive(connection)
        set_user_timeout(connection)
        await _connect(connection, address.place)
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect(connection: socket.socket, place: tuple[Any, ...]) -> None:
    # uvloop's own `sock_connect` resolves numeric addresses again in a thread, and loses the zone of IPv6 addresses.
    loop = asyncio.get_running_loop()
    try:
        connection.connect(place)
    except BlockingIOError:
        is_done = loop.create_future()
        loop.add_writer(connection, _set, is_done)
        try:
            await is_done
        finally:
            loop.remove_writer(connection)
        if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number)) from None


def _set(is_done: asyncio.Future[None]) -> None:
    if not is_done.done():
        is_done.set_result(None)


def close_if_connected(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that nobody waits for any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def reason_of(error: Exception) -> str:
    """Return the system's text for an error, without numbers and addresses."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
