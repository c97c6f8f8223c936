"""The shape of the file: one msgspec Struct for each mapping, from which checks and JSON Schema both come.

Each string type names the function that reads it (``Meta.extra["read"]``, raising ValueError), so that ``decode`` can
report every bad value in its place. Keys that are not available yet are in ``availability.py``, not here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.config import settings, texts, units
from penstock.config.address import Address, Url

Duration = Annotated[
    str,
    Meta(
        pattern=units.DURATION_PATTERN,
        extra={"read": units.parse_duration, "expected": units.DURATION_EXAMPLES, "unit": "s"},
    ),
]
Timeout = Annotated[
    str,
    Meta(
        pattern=r"^(?=.*[1-9])" + units.DURATION_PATTERN.removeprefix("^"),
        extra={"read": texts.read_timeout, "expected": units.DURATION_EXAMPLES, "unit": "s"},
    ),
]
Size = Annotated[
    str,
    Meta(
        pattern=r"^(?=.*[1-9])" + units.SIZE_PATTERN.removeprefix("^"),
        extra={"read": texts.read_size, "expected": units.SIZE_EXAMPLES, "unit": "B"},
    ),
]
Share = Annotated[
    str,
    Meta(pattern=units.SHARE_PATTERN, extra={"read": units.parse_share, "expected": units.SHARE_EXAMPLES}),
]
Listen = Annotated[str, Meta(min_length=1, extra={"read": Address.parse})]
BackendUrl = Annotated[str, Meta(pattern=r"^([hH][tT][tT][pP][sS]?://|unix:/)[^?#@\s]+$", extra={"read": Url.parse})]
Name = Annotated[str, Meta(pattern=texts.NAME_PATTERN, extra={"read": texts.read_name})]
ModelName = Annotated[str, Meta(min_length=1, max_length=256, extra={"read": texts.read_model})]
HeaderName = Annotated[str, Meta(pattern=texts.HEADER_NAME_PATTERN, extra={"read": texts.read_header_name})]
HeaderValue = Annotated[str, Meta(pattern=texts.HEADER_VALUE_PATTERN, extra={"read": texts.read_header_value})]
Token = Annotated[str, Meta(pattern=texts.TOKEN_PATTERN, extra={"read": texts.read_token})]
FilePath = Annotated[str, Meta(min_length=1, extra={"read": texts.read_path})]
Concurrency = Annotated[int, Meta(ge=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class _Section(Struct, forbid_unknown_fields=True):
    pass


class Admin(_Section):
    """The admin listener: metrics, health and control."""

    listen: Annotated[Listen, Meta(description="Address of the admin listener")] = str(settings.DEFAULT_ADMIN_LISTEN)
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
    serves: Annotated[ModelName | None, Meta(description="The model name it knows; absent: found by a probe")] = None
    node: Annotated[Name | None, Meta(description="The GPU machine it runs on, one of nodes")] = None
    keep_alive: Annotated[Duration, Meta(description="How long an idle connection is kept")] = units.format_duration(
        settings.Backend.keep_alive
    )
    abort_grace: Annotated[Duration, Meta(description="How long an aborted request counts at most")] = (
        units.format_duration(settings.Backend.abort_grace)
    )
    api_key: Annotated[Token | None, Meta(description="Sent as Authorization: Bearer")] = None
    headers: Annotated[dict[HeaderName, HeaderValue], Meta(description="Sent with every request")] = {}
    tls: Annotated[BackendTls | None, Meta(description="TLS files; only with https")] = None


class Queue(_Section):
    """Bounds of a tier's queue."""

    requests: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Waiting requests")] = settings.Queue.requests
    tokens: Annotated[int, Meta(ge=1, le=2**53, description="Estimated tokens that wait")] = settings.Queue.tokens
    bytes: Annotated[Size, Meta(description="Bytes of waiting bodies")] = units.format_size(settings.Queue.bytes)
    wait: Annotated[Duration, Meta(description="Longest wait; instant 2s, thinking 30s")] | UnsetType = UNSET


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
        dict[str, Any],
        Meta(
            description="Fills absent or null keys of the request",
            extra={"refused": texts.REFUSED_DEFAULTS},
            extra_json_schema={"propertyNames": {"not": {"enum": list(texts.REFUSED_DEFAULTS)}}},
        ),
    ] = {}
    force: Annotated[
        dict[str, Any],
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
    queue: Queue = msgspec.field(default_factory=Queue)
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    retry: Retry = msgspec.field(default_factory=Retry)
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class File(_Section, kw_only=True):
    """The whole file."""

    listen: Annotated[Listen, Meta(description="Address of the data listener")] = str(settings.DEFAULT_LISTEN)
    admin: Admin = msgspec.field(default_factory=Admin)
    workers: Annotated[Literal[1], Meta(description="Data-plane processes")] = 1
    lane: Annotated[Literal["off"], Meta(description="The fast path in front of aiohttp")] = "off"
    limits: Limits = msgspec.field(default_factory=Limits)
    access: Access = msgspec.field(default_factory=Access)
    drain: Drain = msgspec.field(default_factory=Drain)
    log: Log = msgspec.field(default_factory=Log)
    nodes: Annotated[dict[Name, Node], Meta(description="GPU machines")] = {}
    backends: Annotated[dict[Name, Backend], Meta(min_length=1, max_length=256, description="Model servers")]
    tiers: Annotated[dict[Name, Tier], Meta(min_length=1, max_length=64, description="What clients can ask for")]
