"""The shape of the file: one msgspec Struct for each mapping, from which checks and JSON Schema both come.

The types of single values are in ``values.py``, and the keys that are not available yet in ``availability.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.config import settings, texts, units
from penstock.config.values import (
    BackendHeader,
    BackendUrl,
    Concurrency,
    Count,
    Duration,
    FilePath,
    HeaderName,
    HeaderValue,
    Listen,
    Mode,
    ModelName,
    Name,
    Network,
    Origin,
    ParameterName,
    Part,
    Share,
    Size,
    Timeout,
    Token,
    Tokens,
)


class _Section(Struct, forbid_unknown_fields=True):
    pass


class Admin(_Section):
    """The admin listener: metrics, health and control."""

    listen: Annotated[Listen, Meta(description="Address of the admin listener")] = str(settings.DEFAULT_ADMIN_LISTEN)
    listen_mode: Annotated[Mode | None, Meta(description="Permissions of its unix: socket; 0600")] = None
    token: Annotated[Token | None, Meta(description="Secret of the admin API; absent: serve makes one")] = None


class Limits(_Section):
    """What one client, request or answer may take."""

    body: Annotated[Size, Meta(description="Largest request body")] = units.format_size(settings.Limits.body)
    head: Annotated[Size, Meta(description="Largest request line and header")] = units.format_size(settings.Limits.head)
    connections: Annotated[Count, Meta(description="Client connections of one worker")] = settings.Limits.connections
    response: Annotated[Size, Meta(description="Largest answer that is held whole")] = units.format_size(
        settings.Limits.response
    )
    event: Annotated[Size, Meta(description="Largest event of a stream")] = units.format_size(settings.Limits.event)


class Access(_Section):
    """Who may use the data listener."""

    allow_anonymous: Annotated[bool, Meta(description="Listen beyond this machine although no keys are needed")] = (
        settings.Access.allow_anonymous
    )
    tenant_header: Annotated[
        HeaderName | None, Meta(description="Header with the tenant of a request; counts only from trusted_proxies")
    ] = None
    priority_header: Annotated[
        HeaderName | None,
        Meta(description="Header with its priority: high, normal or low; counts only from trusted_proxies"),
    ] = None


class Cors(_Section):
    """Which web pages of other origins may use the data listener."""

    origins: Annotated[tuple[Origin, ...], Meta(description="Origins of such pages; *: any")] = settings.Cors.origins


class Drain(_Section):
    """How a shutdown proceeds."""

    delay: Annotated[Duration, Meta(description="Keep accepting for this long")] = units.format_duration(
        settings.Drain.delay
    )
    instant: Annotated[Duration, Meta(description="Let streams of instant tiers run on")] = units.format_duration(
        settings.Drain.instant
    )
    thinking: Annotated[Duration, Meta(description="Let streams of thinking tiers run on")] = units.format_duration(
        settings.Drain.thinking
    )


class Log(_Section):
    """The log on stdout."""

    format: Annotated[settings.LogFormat, Meta(description="auto: console on a terminal, else JSON")] = (
        settings.Log.format
    )
    level: Annotated[settings.LogLevel, Meta(description="The least level that is written")] = settings.Log.level


class Node(_Section):
    """A GPU machine."""

    concurrency: Annotated[Concurrency | None, Meta(description="Requests at once over all its backends")] = None


class BackendTls(_Section):
    """TLS towards an https backend; paths of PEM files."""

    ca: Annotated[FilePath | None, Meta(description="Authorities to trust; absent: the system's")] = None
    cert: Annotated[FilePath | None, Meta(description="Client certificate")] = None
    key: Annotated[FilePath | None, Meta(description="Key of the client certificate")] = None


class Backend(_Section):
    """One model server."""

    url: Annotated[BackendUrl, Meta(description="Root of its API: http://host:port, https:// or unix:/path")]
    concurrency: Annotated[Concurrency, Meta(description="Requests running at once; 0: drained on purpose")]
    prefill_tokens: Annotated[
        Tokens | Literal["auto"] | None,
        Meta(description="Uncached prompt tokens in flight; auto: 2048, then by the learned rate; absent: no limit"),
    ] = settings.Backend.prefill_tokens
    kv_tokens: Annotated[
        Tokens | Literal["auto"] | None,
        Meta(description="Reserved tokens of KV memory; auto: from the engine's own facts; absent: no limit"),
    ] = settings.Backend.kv_tokens
    weight: Annotated[
        float, Meta(ge=0.001, le=1000, description="What it gets beside other backends of the same speed")
    ] = settings.Backend.weight
    serves: Annotated[ModelName | None, Meta(description="The model name it knows; absent: found by a probe")] = None
    node: Annotated[Name | None, Meta(description="The GPU machine it runs on, one of nodes")] = None
    keep_alive: Annotated[Duration, Meta(description="How long an idle connection is kept")] = units.format_duration(
        settings.Backend.keep_alive
    )
    abort_grace: Annotated[Duration, Meta(description="How long an aborted request counts at most")] = (
        units.format_duration(settings.Backend.abort_grace)
    )
    abort_hold: Annotated[
        Duration, Meta(description="How long it counts at least: the server closes before its engine stops")
    ] = units.format_duration(settings.Backend.abort_hold)
    stream_whole: Annotated[bool, Meta(description="Ask for whole answers as streams")] = settings.Backend.stream_whole
    api_key: Annotated[Token | None, Meta(description="Sent as Authorization: Bearer")] = None
    headers: Annotated[dict[BackendHeader, HeaderValue], Meta(description="Sent with every request")] = {}
    tls: Annotated[BackendTls | None, Meta(description="TLS files; only with https")] = None


class PerTenant(_Section):
    """Bounds of one tenant's part of the queue, for requests whose tenant is known."""

    requests: Annotated[Count, Meta(description="Waiting requests of one tenant, if it is known")] = (
        settings.Queue.tenant_requests
    )


class Queue(_Section):
    """Bounds of a tier's queue."""

    requests: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Waiting requests")] = settings.Queue.requests
    tokens: Annotated[Tokens, Meta(description="Estimated tokens that wait")] = settings.Queue.tokens
    bytes: Annotated[Size, Meta(description="Bytes of waiting bodies")] = units.format_size(settings.Queue.bytes)
    wait: Annotated[Duration, Meta(description="Longest wait; instant 2s, thinking 30s")] | UnsetType = UNSET
    per_tenant: PerTenant = msgspec.field(default_factory=PerTenant)


class Slo(_Section):
    """What a tier aims at; the defaults depend on the profile, and null is no aim."""

    first_token: (
        Annotated[Timeout | None, Meta(description="From arrival to the first token; instant none, thinking 30s")]
        | UnsetType
    ) = UNSET
    inter_token: (
        Annotated[Timeout | None, Meta(description="Between the tokens of a stream; instant none, thinking 100ms")]
        | UnsetType
    ) = UNSET


class Bands(_Section):
    """Parts of the priorities, while requests of several of them wait."""

    high: Annotated[Part, Meta(description="Part of high priority")] = settings.Bands.high
    normal: Annotated[Part, Meta(description="Part of normal priority, which is the default")] = settings.Bands.normal
    low: Annotated[Part, Meta(description="Part of low priority")] = settings.Bands.low


class Affinity(_Section):
    """What draws a request to the backend of an earlier one."""

    prefix: Annotated[bool, Meta(description="The same beginning of the prompt")] = settings.Affinity.prefix
    header: Annotated[HeaderName | None, Meta(description="The same value of this header; null: none")] = (
        settings.Affinity.header
    )


class Timeouts(_Section):
    """Times after which a request is given up; the defaults depend on the profile."""

    connect: Annotated[Timeout, Meta(description="To connect; 1s")] | UnsetType = UNSET
    first_event: Annotated[Timeout, Meta(description="To the first event; instant 10s, thinking 180s")] | UnsetType = (
        UNSET
    )
    between_events: Annotated[Timeout, Meta(description="Between events; instant 15s, thinking 120s")] | UnsetType = (
        UNSET
    )
    total: Annotated[Timeout, Meta(description="Over all; instant 120s, thinking 1800s")] | UnsetType = UNSET


class Retry(_Section):
    """Retries before the first event."""

    budget: Annotated[Share, Meta(description="Share of requests that may be retries")] = units.format_share(
        settings.Tier.retry_budget
    )


class Parameters(_Section):
    """What happens to the parameters of a request."""

    default: Annotated[
        dict[ParameterName, Any],
        Meta(
            description="Fills absent or null keys of the request",
            extra={"refused": texts.REFUSED_DEFAULTS},
            extra_json_schema={"propertyNames": {"not": {"enum": list(texts.REFUSED_DEFAULTS)}}},
        ),
    ] = {}
    force: Annotated[
        dict[ParameterName, Any],
        Meta(
            description="Merge patch (RFC 7396) applied to the request last",
            extra={"refused": texts.REFUSED_FORCED},
            extra_json_schema={"propertyNames": {"not": {"enum": list(texts.REFUSED_FORCED)}}},
        ),
    ] = {}
    max_tokens: Annotated[Count | None, Meta(description="Cap on the length asked for")] = None
    unsupported: Annotated[
        settings.Unsupported,
        Meta(description="What a length above the cap and template arguments not allowed meet"),
    ] = settings.Parameters.unsupported
    allow: Annotated[tuple[Name, ...], Meta(description="Keys of chat_template_kwargs that clients may set")] = (
        settings.Parameters.allow
    )


class Tier(_Section):
    """A set of models with one service level."""

    models: Annotated[tuple[ModelName, ...], Meta(min_length=1, description="Names that clients send")]
    backends: Annotated[tuple[Name, ...], Meta(min_length=1, description="Model servers for them, of backends")]
    profile: (
        Annotated[settings.Profile, Meta(description="Picks the defaults; absent: by the tier's name")] | UnsetType
    ) = UNSET
    concurrency: Annotated[Concurrency | None, Meta(description="Requests at once in this tier")] = None
    share: (
        Annotated[Part, Meta(description="Its part where tiers wait for one backend; instant 4, thinking 1")]
        | UnsetType
    ) = UNSET
    slo: Slo = msgspec.field(default_factory=Slo)
    adaptive: Annotated[
        settings.Adaptive, Meta(description="A learned limit of requests at once: off, only shown, or enforced")
    ] = settings.Tier.adaptive
    media_tokens: Annotated[
        Count, Meta(description="Prompt tokens that an image, a sound, a video or a file counts as, whatever its size")
    ] = settings.Tier.media_tokens
    queue: Queue = msgspec.field(default_factory=Queue)
    bands: Bands = msgspec.field(default_factory=Bands)
    affinity: Affinity = msgspec.field(default_factory=Affinity)
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    retry: Retry = msgspec.field(default_factory=Retry)
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class File(_Section, kw_only=True):
    """The whole file."""

    listen: Annotated[Listen, Meta(description="Address of the data listener")] = str(settings.DEFAULT_LISTEN)
    listen_mode: Annotated[Mode | None, Meta(description="Permissions of its unix: socket; 0600")] = None
    admin: Admin = msgspec.field(default_factory=Admin)
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | Literal["auto"],
        Meta(description="Data-plane processes; auto: one for each usable core, at most 4"),
    ] = "auto"
    lane: Annotated[Literal["on", "off"], Meta(description="The fast path in front of aiohttp")] = "on"
    limits: Limits = msgspec.field(default_factory=Limits)
    access: Access = msgspec.field(default_factory=Access)
    trusted_proxies: Annotated[
        tuple[Network, ...], Meta(description="Addresses, as CIDRs, whose headers of access count")
    ] = ()
    cors: Cors = msgspec.field(default_factory=Cors)
    drain: Drain = msgspec.field(default_factory=Drain)
    log: Log = msgspec.field(default_factory=Log)
    nodes: Annotated[dict[Name, Node], Meta(description="GPU machines")] = {}
    backends: Annotated[dict[Name, Backend], Meta(min_length=1, max_length=256, description="Model servers")]
    tiers: Annotated[dict[Name, Tier], Meta(min_length=1, max_length=64, description="What clients can ask for")]
