"""Detects peers that have vanished without closing: no power, no network, an expired entry in a NAT table.

While we send nothing, nothing shows that they are gone, and what we do send is retransmitted for a quarter of an hour
(tcp(7), ``tcp_retries2``). Until then they would hold a place in the queue, or a slot of a GPU.

``TCP_USER_TIMEOUT`` (RFC 5482) limits the retransmissions, but also how long the peer's window may stay closed, and
Linux restarts that time only when the window opens as far as the next packet to be sent, up to 64 KiB. So it would cut
off clients that read slowly but steadily: one that read 25 KB/s into a receive buffer of 16 KiB was cut off. It is set
for backends, which read a request at once or not at all; for clients `has_vanished` asks the kernel.
"""

from __future__ import annotations

import socket
import sys

__all__ = ["has_vanished", "set_keepalive", "set_user_timeout"]

# The first keep-alive probe is sent after so many seconds of silence, the others at this interval. An hour of silence
# costs 240 packets; the shortest idle time-outs of load balancers and NAT tables are about a minute.
IDLE_SECONDS = 15
INTERVAL_SECONDS = 5
PROBES = 3
# A peer that has acknowledged nothing for so long is gone. For silent connections this follows from the three numbers
# above; for data that was sent it is the same time.
VANISHED_SECONDS = IDLE_SECONDS + PROBES * INTERVAL_SECONDS
# Unanswered retransmissions, or probes of a closed window; a single one may just be on its way.
UNANSWERED = 2

# Where `struct tcp_info` of linux/tcp.h has tcpi_retransmits and tcpi_probes (u8) and tcpi_last_ack_recv (u32, ms).
RETRANSMITS, PROBES_OUT = 2, 3
LAST_ACK = slice(56, 60)


def set_keepalive(connection: socket.socket) -> None:
    """Have the kernel close a silent TCP connection whose peer has vanished, within `VANISHED_SECONDS`."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def set_user_timeout(connection: socket.socket) -> None:
    """Have the kernel close a TCP connection whose peer acknowledges or reads nothing for `VANISHED_SECONDS`."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


def has_vanished(connection: socket.socket) -> bool:
    """Tell whether the peer of a TCP connection has left what it was sent unacknowledged for `VANISHED_SECONDS`.

    A peer that is there but does not read still acknowledges. Silent connections are left to `set_keepalive`.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_ACK.stop)
    if max(info[RETRANSMITS], info[PROBES_OUT]) < UNANSWERED:
        return False
    return int.from_bytes(info[LAST_ACK], sys.byteorder) > VANISHED_SECONDS * 1000
