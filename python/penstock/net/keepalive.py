"""Noticing peers that have vanished without a word: no power, no network, a forgotten entry in a NAT table.

Nothing tells of them while we have nothing to send, and what we send is repeated for a quarter of an hour (tcp(7),
``tcp_retries2``). Until then they would hold a place in the queue, or a slot of a GPU.

``TCP_USER_TIMEOUT`` (RFC 5482) bounds the second, but also how long a window may stay shut, and Linux begins that time
anew only when the window opens as far as the next packet to be sent, up to 64 KiB. So it cuts clients that read slowly,
however steadily: one that took 25 KB/s into a receive buffer of 16 KiB was cut when the time had passed. It is for
backends, which take a request at once or not at all; of clients `has_vanished` asks the kernel.
"""

from __future__ import annotations

import socket
import sys

__all__ = ["has_vanished", "set_keepalive", "set_user_timeout"]

# A silent connection is asked for a sign of life after so long, and then again and again. An hour of silence costs 240
# packets; the shortest idle times of load balancers and NAT tables are about a minute.
IDLE_SECONDS = 15
INTERVAL_SECONDS = 5
PROBES = 3
# A peer whose kernel has acknowledged nothing for so long, though it was asked again and again, is gone: after silence,
# which is what the three numbers above come to, and after something was sent.
VANISHED_SECONDS = IDLE_SECONDS + PROBES * INTERVAL_SECONDS
# Retransmissions, or probes of a shut window, without an answer: one may be under way just now.
UNANSWERED = 2

# Where `struct tcp_info` of linux/tcp.h has tcpi_retransmits and tcpi_probes (u8) and tcpi_last_ack_recv (u32, ms).
RETRANSMITS, PROBES_OUT = 2, 3
LAST_ACK = slice(56, 60)


def set_keepalive(connection: socket.socket) -> None:
    """Let the kernel end a silent TCP connection whose peer has vanished, within `VANISHED_SECONDS`."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def set_user_timeout(connection: socket.socket) -> None:
    """Let the kernel end a TCP connection whose peer acknowledges nothing, or takes nothing, for `VANISHED_SECONDS`."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


def has_vanished(connection: socket.socket) -> bool:
    """Tell whether the peer of a TCP connection has not acknowledged for `VANISHED_SECONDS` what it was sent.

    One that is there and takes nothing does acknowledge. Of silence `set_keepalive` takes care.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_ACK.stop)
    if max(info[RETRANSMITS], info[PROBES_OUT]) < UNANSWERED:
        return False
    return int.from_bytes(info[LAST_ACK], sys.byteorder) > VANISHED_SECONDS * 1000
