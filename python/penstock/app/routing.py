"""The part of the settings that the Rust core needs, as the JSON that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from penstock.config.settings import Backend, Settings, Tier

__all__ = ["routing_json"]


def routing_json(settings: Settings) -> str:
    """Return the routing configuration; its shape is `RoutingConfig` in rust/core/src/routing/config.rs."""
    routing = {
        "nodes": [{"name": node.name, "concurrency": node.concurrency} for node in settings.nodes.values()],
        "backends": [_backend(backend) for backend in settings.backends.values()],
        "tiers": [_tier(tier) for tier in settings.tiers.values()],
        "response_limit": settings.limits.response,
        "event_limit": settings.limits.event,
        "connections": settings.limits.connections,
    }
    return orjson.dumps(routing).decode()


def _backend(backend: Backend) -> dict[str, object]:
    return {
        "name": backend.name,
        "prefix": backend.url.prefix,
        "headers": [("host", backend.url.host_header), *backend.headers],
        "serves": backend.serves,
        "node": backend.node,
        "concurrency": backend.concurrency,
        "keep_alive": backend.keep_alive,
        "abort_grace": max(backend.abort_grace, backend.abort_hold),
        "abort_hold": backend.abort_hold,
        "stream_whole": backend.stream_whole,
        "prefill_tokens": backend.prefill_tokens,
        "kv_tokens": backend.kv_tokens,
        "weight": round(backend.weight * 1000),
    }


def _tier(tier: Tier) -> dict[str, object]:
    queue, timeouts, parameters = tier.queue, tier.timeouts, tier.parameters
    return {
        "name": tier.name,
        "profile": tier.profile,
        "models": tier.models,
        "backends": tier.backends,
        "concurrency": tier.concurrency,
        "queue": {
            "requests": queue.requests,
            "tokens": queue.tokens,
            "bytes": queue.bytes,
            "wait": queue.wait,
            "tenant_requests": queue.tenant_requests,
        },
        "timeouts": {
            "connect": timeouts.connect,
            "first_event": timeouts.first_event,
            "between_events": timeouts.between_events,
            "total": timeouts.total,
        },
        "retry_budget": tier.retry_budget,
        "share": tier.share,
        "slo": {"first_token": tier.slo.first_token, "inter_token": tier.slo.inter_token},
        "bands": [tier.bands.high, tier.bands.normal, tier.bands.low],
        "affinity": {"prefix": tier.affinity.prefix, "header": tier.affinity.header},
        "adaptive": tier.adaptive,
        "media_tokens": tier.media_tokens,
        "parameters": {
            "default": parameters.default,
            "force": parameters.force,
            "max_tokens": parameters.max_tokens,
            "unsupported": parameters.unsupported,
            "allow": parameters.allow,
        },
    }
