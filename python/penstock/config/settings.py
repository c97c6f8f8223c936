"""The tree of all keys: what the file may say, and what a running Penstock works from.

Each section of the file is a frozen Struct, and each key one line in it::

    wait: Annotated[Duration, Key("Longest wait", profiles={"thinking": 30.0})] = 2.0

Its type (``values``) says how the file writes it, what the program holds, and whether it is a secret. ``Key`` has its
meaning, and what else concerns it (``section``). From the line come the reading with its error messages (``group``),
the settings themselves, ``penstock config show`` (``redact``), the JSON Schema (``json_schema``), and the configuration
of the Rust core (``routing``).

To add a key, write its line, and delete its name from ``LATER`` if it stands there. A key of ``Backend``, ``Tier`` or
what is in them also reaches the Rust core, under its own name, so it needs its field in
``rust/core/src/routing/config.rs``, or ``routed=False`` if the core has no use for it. A rule between several keys
goes to ``validate``. Add the key to ``tests/unit/config/example.yaml``: its test fails while a key is missing there.

Durations are seconds, sizes bytes, percentages fractions of 1. Concurrency, queue lengths and permits are counted in
slots. ``None`` means that there is no limit of that kind, or that nothing is set.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from penstock.config.address import Address, Url
from penstock.config.backend import Backend, BackendTls
from penstock.config.problem import Problem
from penstock.config.section import Key, Section
from penstock.config.tier import (
    Affinity,
    Bands,
    Parameters,
    PerTenant,
    Queue,
    Retry,
    Slo,
    Tier,
    Timeouts,
)
from penstock.config.values import (
    DEFAULT_MODE,
    Concurrency,
    Count,
    Duration,
    HeaderName,
    Listen,
    Mode,
    Name,
    Network,
    Origin,
    Size,
    Switch,
    Token,
    Workers,
)

__all__ = [
    "DEFAULT_MODE",
    "Access",
    "Address",
    "Admin",
    "Affinity",
    "Backend",
    "BackendTls",
    "Bands",
    "Cors",
    "Drain",
    "Limits",
    "Log",
    "Node",
    "Parameters",
    "PerTenant",
    "Queue",
    "Retry",
    "Settings",
    "Slo",
    "Tier",
    "Timeouts",
    "Url",
]

KIB, MIB = 1 << 10, 1 << 20
DEFAULT_LISTEN = Address("127.0.0.1", 8080)
DEFAULT_ADMIN_LISTEN = Address("127.0.0.1", 9180)


def _has_socket_file(section: Settings | Admin) -> bool:
    return section.listen.path is not None


class Admin(Section, frozen=True):
    """The admin listener: metrics, health and control."""

    listen: Annotated[Listen, Key("Address of the admin listener")] = DEFAULT_ADMIN_LISTEN
    listen_mode: Annotated[Mode, Key("Permissions of its unix: socket", applies=_has_socket_file)] = DEFAULT_MODE
    token: Annotated[Token | None, Key("Secret of the admin API; absent: serve makes one")] = None


class Limits(Section, frozen=True):
    """What one client, request or answer may take."""

    LATER: ClassVar = ("connections_per_address",)

    body: Annotated[Size, Key("Largest request body")] = 8 * MIB
    head: Annotated[Size, Key("Largest request line and header")] = 16 * KIB
    connections: Annotated[Count, Key("Client connections of one worker")] = 10_000
    response: Annotated[Size, Key("Largest answer that is held whole")] = 32 * MIB
    event: Annotated[Size, Key("Largest event of a stream")] = 1 * MIB


class Access(Section, frozen=True):
    """Who may use the data listener, and which headers of trusted_proxies say whom a request is for."""

    allow_anonymous: Annotated[bool, Key("Listen beyond this machine although no keys are needed")] = False
    tenant_header: Annotated[HeaderName | None, Key("Header with the tenant of a request")] = None
    priority_header: Annotated[HeaderName | None, Key("Header with its priority: high, normal or low")] = None


class Cors(Section, frozen=True):
    """Which web pages of other origins may use the data listener."""

    origins: Annotated[tuple[Origin, ...], Key("Origins of such pages; *: any")] = ()


class Drain(Section, frozen=True):
    """How a shutdown proceeds."""

    delay: Annotated[Duration, Key("Keep accepting for this long")] = 0.0
    instant: Annotated[Duration, Key("Let streams of instant tiers run on")] = 60.0
    thinking: Annotated[Duration, Key("Let streams of thinking tiers run on")] = 600.0


class Log(Section, frozen=True):
    """The log on stdout."""

    format: Annotated[Literal["auto", "json", "console"], Key("auto: console on a terminal, else JSON")] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Key("The least level that is written")] = "info"


class Node(Section, frozen=True):
    """A GPU machine."""

    name: str
    concurrency: Annotated[Concurrency | None, Key("Requests at once over all its backends")] = None


class Settings(Section, frozen=True, kw_only=True):
    """The whole file.

    ``source`` is the path of the file, ``warnings`` what is allowed in it and probably not meant. The dicts are in the
    order of the file. ``workers`` is a number also where the file says ``auto``.
    """

    LATER: ClassVar = ("cluster", "keys", "tls")

    source: str = ""
    warnings: tuple[Problem, ...] = ()
    listen: Annotated[Listen, Key("Address of the data listener")] = DEFAULT_LISTEN
    listen_mode: Annotated[Mode, Key("Permissions of its unix: socket", applies=_has_socket_file)] = DEFAULT_MODE
    admin: Admin = Admin()
    workers: Annotated[Workers, Key("Data-plane processes; auto: one for each usable core, at most 4", written="auto")]
    lane: Annotated[Switch, Key("The fast path in front of aiohttp")] = True
    limits: Limits = Limits()
    access: Access = Access()
    trusted_proxies: Annotated[tuple[Network, ...], Key("Addresses, as CIDRs, whose headers of access count")] = ()
    cors: Cors = Cors()
    drain: Drain = Drain()
    log: Log = Log()
    nodes: Annotated[dict[Name, Node], Key("GPU machines")] = {}
    backends: Annotated[dict[Name, Backend], Meta(min_length=1, max_length=256), Key("Model servers")]
    tiers: Annotated[dict[Name, Tier], Meta(min_length=1, max_length=64), Key("What clients can ask for")]
