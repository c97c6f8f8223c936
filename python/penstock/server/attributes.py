"""Tenant, priority and sessions of a request: what decides when and on which backend it runs."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from penstock._core import LaneTerms
from penstock.server.headers import last

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDictProxy

    from penstock.config.settings import Limits, Settings

__all__ = ["AttributeReader", "RequestAttributes", "UnknownPriorityError"]

PRIORITIES = ("high", "normal", "low")
# Characters of a tenant's or session's name that count; the core only keeps a hash.
MAX_NAME = 256


class UnknownPriorityError(Exception):
    """A trusted proxy has sent a priority that does not exist. The text names those that do."""


class RequestAttributes(NamedTuple):
    """The tenant and the priority that a trusted proxy has set, and the session headers that the client has sent."""

    tenant: str | None = None
    priority: str | None = None
    sessions: list[tuple[str, str]] | None = None


class AttributeReader:
    """Reads the attributes of requests from the headers that the configuration names.

    Tenant and priority count only if they come from one of `trusted_proxies`. A Unix socket has no peer address, so
    they never count there.
    """

    def __init__(self, settings: Settings) -> None:
        self._tenant_header = settings.access.tenant_header
        self._priority_header = settings.access.priority_header
        self._proxies = settings.trusted_proxies
        affinities = (tier.affinity.header for tier in settings.tiers.values())
        self._session_headers = sorted({header for header in affinities if header is not None})

    def terms(self, limits: Limits) -> LaneTerms:
        """Return what connections of the lane need to read the same attributes themselves."""
        return LaneTerms(
            head=limits.head,
            body=limits.body,
            tenant=self._tenant_header,
            priority=self._priority_header,
            sessions=self._session_headers,
        )

    def read(self, headers: CIMultiDictProxy[str], transport: asyncio.BaseTransport | None) -> RequestAttributes:
        """Return the attributes of a request.

        Raises:
            UnknownPriorityError: the priority does not exist.
        """
        sessions = [
            (name, value[:MAX_NAME]) for name in self._session_headers if (value := last(headers, name)) is not None
        ]
        is_asking = (self._tenant_header is not None and self._tenant_header in headers) or (
            self._priority_header is not None and self._priority_header in headers
        )
        if not is_asking or not self.trusts(transport):
            return RequestAttributes(sessions=sessions or None)
        priority = last(headers, self._priority_header) if self._priority_header is not None else None
        if priority is not None and (priority := priority.strip().lower()) not in PRIORITIES:
            raise UnknownPriorityError(f"{self._priority_header} is high, normal or low, not {priority[:64]!r}")
        tenant = last(headers, self._tenant_header) if self._tenant_header is not None else None
        return RequestAttributes(tenant[:MAX_NAME] if tenant else None, priority, sessions or None)

    def trusts(self, transport: asyncio.BaseTransport | None) -> bool:
        """Tell whether tenant and priority count if they come over this connection."""
        peer = transport.get_extra_info("peername") if transport is not None else None
        if not isinstance(peer, tuple):
            return False
        address = ip_address(str(peer[0]).partition("%")[0])
        # On a listener for both families an IPv4 peer appears as ::ffff:a.b.c.d.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)
