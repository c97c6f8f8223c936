"""Opening connections to backends."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from penstock._core import UpstreamConnection
    from penstock.config.settings import Backend

__all__ = ["RECEIVE_BUFFER", "Connector", "tls_context"]

# What the kernel may hold of a backend's answer, and so the most that one read can bring: it bounds what a paused
# client's stream can still grow by (contract §2). The kernel doubles the value for its own bookkeeping.
RECEIVE_BUFFER = 64 << 10


def tls_context(backend: Backend) -> ssl.SSLContext | None:
    """Return what a TLS connection to this backend trusts and shows; None for plain HTTP.

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


class Connector:
    """Called by the core with a backend's index and a protocol; opens the connection in a task of its own.

    A task per new connection is affordable: connections are kept and reused.
    """

    def __init__(self, backends: list[Backend]) -> None:
        self._backends = backends
        self._contexts = [tls_context(backend) for backend in backends]
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, index: int, protocol: UpstreamConnection) -> asyncio.Task[None]:
        """Start to connect."""
        task = asyncio.get_running_loop().create_task(self._connect(index, protocol))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _connect(self, index: int, protocol: UpstreamConnection) -> None:
        url, context = self._backends[index].url, self._contexts[index]
        loop = asyncio.get_running_loop()

        def factory() -> asyncio.Protocol:
            # By its methods it is one; the loop asks for no more.
            return cast(asyncio.Protocol, protocol)

        try:
            if url.path is not None:
                await loop.create_unix_connection(factory, url.path)
                return
            name = url.host if context else None
            transport, _ = await loop.create_connection(factory, url.host, url.port, ssl=context, server_hostname=name)
            bound_receive_buffer(transport)
        except ssl.SSLError as error:
            protocol.connect_failed("tls", error.reason or str(error))
        except OSError as error:
            protocol.connect_failed("connect", error.strerror or str(error))
        except ValueError as error:
            # A host name that cannot be one.
            protocol.connect_failed("connect", str(error))


def bound_receive_buffer(transport: asyncio.BaseTransport) -> None:
    """Bound what the kernel buffers of a backend's answer."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
