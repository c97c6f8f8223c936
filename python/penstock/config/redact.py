"""Settings as a person may see them: every key with its effective value, and no secret."""

from __future__ import annotations

from typing import Any

import yaml

from penstock.config.loader import core_value
from penstock.config.settings import Address, Backend, Settings, Tier
from penstock.config.texts import format_mode
from penstock.config.units import format_duration, format_share, format_size

REDACTED = "<redacted>"


def redact(settings: Settings) -> dict[str, Any]:
    """The settings in the form of the file, as JSON values; durations and sizes in human form.

    The admin token and all header values of backends become ``"<redacted>"``. URLs hold no secrets: one with a user or
    password is refused when the file is loaded.
    """
    limits, access, drain = settings.limits, settings.access, settings.drain
    return {
        "listen": str(settings.listen),
        "listen_mode": _mode(settings.listen, settings.listen_mode),
        "admin": {
            "listen": str(settings.admin.listen),
            "listen_mode": _mode(settings.admin.listen, settings.admin.listen_mode),
            "token": None if settings.admin.token is None else REDACTED,
        },
        "workers": settings.workers,
        "lane": "on" if settings.lane else "off",
        "limits": {
            "body": format_size(limits.body),
            "head": format_size(limits.head),
            "connections": limits.connections,
            "response": format_size(limits.response),
            "event": format_size(limits.event),
        },
        "access": {
            "allow_anonymous": access.allow_anonymous,
            "tenant_header": access.tenant_header,
            "priority_header": access.priority_header,
        },
        "trusted_proxies": [str(network) for network in settings.trusted_proxies],
        "cors": {"origins": list(settings.cors.origins)},
        "drain": {
            "delay": format_duration(drain.delay),
            "instant": format_duration(drain.instant),
            "thinking": format_duration(drain.thinking),
        },
        "log": {"format": settings.log.format, "level": settings.log.level},
        "nodes": {name: {"concurrency": node.concurrency} for name, node in settings.nodes.items()},
        "backends": {name: _backend(backend) for name, backend in settings.backends.items()},
        "tiers": {name: _tier(tier) for name, tier in settings.tiers.items()},
    }


def to_yaml(value: dict[str, Any]) -> str:
    """The same as YAML; every string that the core schema would read as something else is quoted."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _backend(backend: Backend) -> dict[str, Any]:
    tls = backend.tls
    return {
        "url": str(backend.url),
        "serves": backend.serves,
        "node": backend.node,
        "concurrency": backend.concurrency,
        "prefill_tokens": backend.prefill_tokens,
        "kv_tokens": backend.kv_tokens,
        "weight": backend.weight,
        "keep_alive": format_duration(backend.keep_alive),
        "abort_grace": format_duration(backend.abort_grace),
        "abort_hold": format_duration(backend.abort_hold),
        "stream_whole": backend.stream_whole,
        "headers": {name: REDACTED for name, _ in backend.headers},
        "tls": None if tls is None else {"ca": tls.ca, "cert": tls.cert, "key": tls.key},
    }


def _tier(tier: Tier) -> dict[str, Any]:
    queue, timeouts, parameters = tier.queue, tier.timeouts, tier.parameters
    return {
        "profile": tier.profile,
        "models": list(tier.models),
        "backends": list(tier.backends),
        "concurrency": tier.concurrency,
        "share": tier.share,
        "slo": {"first_token": _aim(tier.slo.first_token), "inter_token": _aim(tier.slo.inter_token)},
        "adaptive": tier.adaptive,
        "media_tokens": tier.media_tokens,
        "queue": {
            "requests": queue.requests,
            "tokens": queue.tokens,
            "bytes": format_size(queue.bytes),
            "wait": format_duration(queue.wait),
            "per_tenant": {"requests": queue.tenant_requests},
        },
        "bands": {"high": tier.bands.high, "normal": tier.bands.normal, "low": tier.bands.low},
        "affinity": {"prefix": tier.affinity.prefix, "header": tier.affinity.header},
        "timeouts": {
            "connect": format_duration(timeouts.connect),
            "first_event": format_duration(timeouts.first_event),
            "between_events": format_duration(timeouts.between_events),
            "total": format_duration(timeouts.total),
        },
        "retry": {"budget": format_share(tier.retry_budget)},
        "parameters": {
            "default": parameters.default,
            "force": parameters.force,
            "max_tokens": parameters.max_tokens,
            "unsupported": parameters.unsupported,
            "allow": list(parameters.allow),
        },
    }


def _mode(listen: Address, mode: int) -> str | None:
    return None if listen.path is None else format_mode(mode)


def _aim(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, and quotes by YAML 1.2: PyYAML alone would write the string ``0o17`` plain, which is 15."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(core_value(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)
