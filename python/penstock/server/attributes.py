"""Tenant, priority and sessions of a request: what decides when and on which backend it runs."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from penstock._core import LaneConfig, RequestAttributes
from penstock.server.headers import last

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDictProxy

    from penstock.config.settings import Settings

__all__ = ["AttributeReader"]


class AttributeReader:
    """Gives the Rust core what it resolves the attributes of a request from.

    Tenant and priority count only if they come from one of `trusted_proxies`. A Unix socket has no peer address, so
    they never count there.
    """

    def __init__(self, settings: Settings) -> None:
        affinities = (tier.affinity.header for tier in settings.tiers.values())
        self._proxies = settings.trusted_proxies
        self.lane_config = LaneConfig(
            head=settings.limits.head,
            body=settings.limits.body,
            tenant=settings.access.tenant_header,
            priority=settings.access.priority_header,
            sessions=sorted({header for header in affinities if header is not None}),
        )
        self._names = self.lane_config.identity_headers

    def read(self, headers: CIMultiDictProxy[str], transport: asyncio.BaseTransport | None) -> RequestAttributes:
        """Return the attributes of a request.

        Raises:
            ValueError: the priority does not exist; the text names those that do.
        """
        values = {name: value for name in self._names if (value := last(headers, name)) is not None}
        return self.lane_config.attributes(values, bool(values) and self.trusts(transport))

    def trusts(self, transport: asyncio.BaseTransport | None) -> bool:
        """Tell whether tenant and priority count if they come over this connection."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        if not isinstance(peer, tuple):
            return False
        address = ip_address(str(peer[0]).partition("%")[0])
        # On a listener for both families an IPv4 peer appears as ::ffff:a.b.c.d.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)
