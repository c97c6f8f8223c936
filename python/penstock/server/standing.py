"""Who a request comes from, as far as that decides when and where it runs."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from penstock._core import LaneTerms
from penstock.server.headers import last

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDictProxy

    from penstock.config.settings import Limits, Settings

__all__ = ["Standing", "StandingReader", "UnknownPriorityError"]

BANDS = ("high", "normal", "low")
# Names are told apart by a hash of them; longer ones are no names.
LONGEST = 256


class UnknownPriorityError(Exception):
    """A trusted proxy has sent a priority that does not exist. The text says which do."""


class Standing(NamedTuple):
    """The tenant and the band that a trusted proxy has set, and the session headers that the client has sent."""

    tenant: str | None = None
    band: str | None = None
    sessions: list[tuple[str, str]] | None = None


class StandingReader:
    """Reads the standing of requests, by the configuration.

    Tenant and priority count only if they come from one of `trusted_proxies`. A unix socket has no
    address, so they never count there.
    """

    def __init__(self, settings: Settings) -> None:
        self._tenant = settings.access.tenant_header
        self._priority = settings.access.priority_header
        self._proxies = settings.trusted_proxies
        affinities = (tier.affinity.header for tier in settings.tiers.values())
        self._sessions = sorted({header for header in affinities if header is not None})

    def terms(self, limits: Limits) -> LaneTerms:
        """Return the same for connections of the lane, which read by themselves."""
        return LaneTerms(
            head=limits.head,
            body=limits.body,
            tenant=self._tenant,
            priority=self._priority,
            sessions=self._sessions,
        )

    def read(self, headers: CIMultiDictProxy[str], transport: asyncio.BaseTransport | None) -> Standing:
        """Return the standing of a request.

        Raises:
            UnknownPriorityError: the priority is none.
        """
        sessions = [(name, value[:LONGEST]) for name in self._sessions if (value := last(headers, name)) is not None]
        asks = (self._tenant is not None and self._tenant in headers) or (
            self._priority is not None and self._priority in headers
        )
        if not asks or not self.trusts(transport):
            return Standing(sessions=sessions or None)
        band = last(headers, self._priority) if self._priority is not None else None
        if band is not None and (band := band.strip().lower()) not in BANDS:
            raise UnknownPriorityError(f"{self._priority} is high, normal or low, not {band[:64]!r}")
        tenant = last(headers, self._tenant) if self._tenant is not None else None
        return Standing(tenant[:LONGEST] if tenant else None, band, sessions or None)

    def trusts(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether tenant and priority count if they come over this connection."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        if not isinstance(peer, tuple):
            return False
        address = ip_address(str(peer[0]).partition("%")[0])
        # On a listener for both families an IPv4 peer shows as ::ffff:a.b.c.d.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)
