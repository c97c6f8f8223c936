"""The part of the settings that the Rust core works from, as the JSON that it reads."""

from __future__ import annotations

from typing import Any

import orjson

from penstock.config.backend import Backend
from penstock.config.group import fields_of
from penstock.config.section import Section
from penstock.config.settings import Settings
from penstock.config.tier import Tier

__all__ = ["routing_json"]


def routing_json(settings: Settings) -> str:
    """Return the routing configuration; its shape is `RoutingConfig` in rust/core/src/routing/config.rs."""
    routing = {
        "nodes": [_named(node) for node in settings.nodes.values()],
        "backends": [_backend(backend) for backend in settings.backends.values()],
        "tiers": [_tier(tier) for tier in settings.tiers.values()],
        "response_limit": settings.limits.response,
        "event_limit": settings.limits.event,
        "connections": settings.limits.connections,
    }
    return orjson.dumps(routing).decode()


def _backend(backend: Backend) -> dict[str, Any]:
    return _named(backend) | {
        "prefix": backend.url.prefix,
        "headers": [("host", backend.url.host_header), *backend.request_headers],
        "weight": round(backend.weight * 1000),
    }


def _tier(tier: Tier) -> dict[str, Any]:
    routing = _named(tier)
    routing["retry_budget"] = routing.pop("retry")["budget"]
    routing["queue"]["tenant_requests"] = routing["queue"].pop("per_tenant")["requests"]
    routing["bands"] = [tier.bands.high, tier.bands.normal, tier.bands.low]
    return routing


def _named(section: Any) -> dict[str, Any]:
    return {"name": section.name, **_keys(section)}


def _keys(section: Section) -> dict[str, Any]:
    """All keys but those that are not routed."""
    values = {
        field.name: getattr(section, field.name)
        for field in fields_of(type(section))
        if field.key is None or field.key.routed
    }
    return {name: _keys(value) if isinstance(value, Section) else value for name, value in values.items()}
