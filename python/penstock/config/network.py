"""Ranges of addresses, as in ``trusted_proxies``."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NETWORK_PATTERN = r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$"

_IPV4_IN_IPV6 = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_network(text: str) -> Network:
    """Read a CIDR (RFC 4632, RFC 4291 §2.3): ``10.0.0.0/8``, ``2001:db8::/32``, or one address alone.

    Raises:
        ValueError: with a message for the author of the file.
    """
    wrong = ValueError(f'expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, got "{text[:80]}"')
    if re.fullmatch(NETWORK_PATTERN, text) is None:
        raise wrong
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise wrong from None
    if ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f'"{text}" has bits beyond its prefix; the network is {network}')
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_IN_IPV6):
        raise ValueError(f'"{text}" holds IPv4 addresses; write them as such')
    return network
