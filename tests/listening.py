"""What the kernel says of listening TCP sockets, whichever process has them: sock_diag(7)."""

from __future__ import annotations

import socket
import struct

SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_DONE = 3
TCP_LISTEN_BIT = 1 << 10
# struct inet_diag_msg: four bytes, struct inet_diag_sockid (48 bytes, the port first), expires, rqueue, wqueue, ...
PORT, WQUEUE, MESSAGE = 4, 60, 72


def backlogs(port: int) -> list[int]:
    """Return the largest backlog of each socket that listens on this port of an IPv4 address."""
    request = struct.pack("=BBBxI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, TCP_LISTEN_BIT)
    head = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0)
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:  # NETLINK_SOCK_DIAG
        netlink.send(head + request)
        while True:
            data = netlink.recv(1 << 16)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return found
                assert kind == SOCK_DIAG_BY_FAMILY and size >= 16 + MESSAGE, data
                message, data = data[16:size], data[(size + 3) & ~3 :]
                if struct.unpack_from("!H", message, PORT)[0] == port:
                    # Of a listening socket this is the length that its queue may have.
                    found.append(struct.unpack_from("=I", message, WQUEUE)[0])
