"""The checked file to ``Settings``: texts become numbers, absent keys the defaults of the profile."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from penstock.config import schema, texts
from penstock.config.address import Address, Url
from penstock.config.network import parse_network
from penstock.config.origin import parse_origin
from penstock.config.problem import Problem
from penstock.config.settings import (
    DEFAULT_MODE,
    SHARES,
    Access,
    Admin,
    Affinity,
    Backend,
    BackendTls,
    Bands,
    Cors,
    Drain,
    Limits,
    Log,
    Node,
    Parameters,
    Profile,
    Queue,
    Settings,
    Slo,
    Tier,
    Timeouts,
)
from penstock.config.units import parse_duration, parse_share, parse_size
from penstock.config.workers import auto_workers


def build(file: schema.File, source: str, warnings: tuple[Problem, ...]) -> Settings:
    """The settings of a file in which ``decode`` and ``validate`` found no error."""
    limits, access, drain = file.limits, file.access, file.drain
    return Settings(
        source=source,
        listen=Address.parse(file.listen),
        listen_mode=_mode(file.listen_mode),
        admin=Admin(Address.parse(file.admin.listen), file.admin.token, _mode(file.admin.listen_mode)),
        workers=auto_workers() if file.workers == "auto" else file.workers,
        lane=file.lane != "off",
        limits=Limits(
            body=parse_size(limits.body),
            head=parse_size(limits.head),
            connections=limits.connections,
            response=parse_size(limits.response),
            event=parse_size(limits.event),
        ),
        access=Access(access.allow_anonymous, _header(access.tenant_header), _header(access.priority_header)),
        trusted_proxies=tuple(map(parse_network, file.trusted_proxies)),
        cors=Cors(tuple(map(parse_origin, file.cors.origins))),
        drain=Drain(parse_duration(drain.delay), parse_duration(drain.instant), parse_duration(drain.thinking)),
        log=Log(file.log.format, file.log.level),
        nodes={name: Node(name, node.concurrency) for name, node in file.nodes.items()},
        backends={name: _backend(name, backend) for name, backend in file.backends.items()},
        tiers={name: _tier(name, tier) for name, tier in file.tiers.items()},
        warnings=warnings,
    )


def _backend(name: str, raw: schema.Backend) -> Backend:
    headers = [(texts.read_backend_header(header), value) for header, value in raw.headers.items()]
    if raw.api_key is not None:
        headers.append(("authorization", f"Bearer {raw.api_key}"))
    return Backend(
        name=name,
        url=Url.parse(raw.url),
        concurrency=raw.concurrency,
        prefill_tokens=raw.prefill_tokens,
        kv_tokens=raw.kv_tokens,
        weight=raw.weight,
        serves=raw.serves,
        node=raw.node,
        keep_alive=parse_duration(raw.keep_alive),
        abort_grace=parse_duration(raw.abort_grace),
        abort_hold=parse_duration(raw.abort_hold),
        stream_whole=raw.stream_whole,
        headers=tuple(headers),
        tls=None if raw.tls is None else BackendTls(raw.tls.ca, raw.tls.cert, raw.tls.key),
    )


def _tier(name: str, raw: schema.Tier) -> Tier:
    profile = _profile(name) if raw.profile is UNSET else raw.profile
    slo, queue, timeouts = Slo.of(profile), Queue.of(profile), Timeouts.of(profile)
    return Tier(
        name=name,
        profile=profile,
        models=raw.models,
        backends=raw.backends,
        concurrency=raw.concurrency,
        share=SHARES[profile] if isinstance(raw.share, UnsetType) else raw.share,
        slo=Slo(_aim(raw.slo.first_token, slo.first_token), _aim(raw.slo.inter_token, slo.inter_token)),
        adaptive=raw.adaptive,
        media_tokens=raw.media_tokens,
        queue=Queue(
            requests=raw.queue.requests,
            tokens=raw.queue.tokens,
            bytes=parse_size(raw.queue.bytes),
            wait=_seconds(raw.queue.wait, queue.wait),
            tenant_requests=raw.queue.per_tenant.requests,
        ),
        bands=Bands(raw.bands.high, raw.bands.normal, raw.bands.low),
        affinity=Affinity(raw.affinity.prefix, _header(raw.affinity.header)),
        timeouts=Timeouts(
            connect=_seconds(raw.timeouts.connect, timeouts.connect),
            first_event=_seconds(raw.timeouts.first_event, timeouts.first_event),
            between_events=_seconds(raw.timeouts.between_events, timeouts.between_events),
            total=_seconds(raw.timeouts.total, timeouts.total),
        ),
        retry_budget=parse_share(raw.retry.budget),
        parameters=Parameters(
            default=raw.parameters.default,
            force=raw.parameters.force,
            max_tokens=raw.parameters.max_tokens,
            unsupported=raw.parameters.unsupported,
            allow=raw.parameters.allow,
        ),
    )


def _profile(name: str) -> Profile:
    return "thinking" if name == "thinking" else "instant"


def _seconds(text: str | UnsetType, default: float) -> float:
    return default if isinstance(text, UnsetType) else parse_duration(text)


def _aim(text: str | UnsetType | None, default: float | None) -> float | None:
    return None if text is None else default if isinstance(text, UnsetType) else parse_duration(text)


def _mode(text: str | None) -> int:
    return DEFAULT_MODE if text is None else texts.read_mode(text)


def _header(name: str | None) -> str | None:
    return None if name is None else texts.read_client_header(name)
