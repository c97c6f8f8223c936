"""The settings that a running Penstock uses: plain, frozen, complete. The defaults stand here, and only here.

Durations are seconds (float), sizes bytes (int), percentages fractions of 1; ``share``, ``weight`` and the bands are
parts, which mean something only against each other. Concurrency, queue lengths and permits are
counted in slots. ``None`` means that there is no limit of that kind, or that nothing is set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from penstock.config.address import Address, Url
from penstock.config.network import Network

if TYPE_CHECKING:
    from penstock.config.problem import Problem

__all__ = [
    "Access",
    "Adaptive",
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
    "Network",
    "Node",
    "Parameters",
    "Profile",
    "Queue",
    "Settings",
    "Slo",
    "Tier",
    "Timeouts",
    "TokenLimit",
    "Unsupported",
    "Url",
]

Profile = Literal["instant", "thinking"]
Unsupported = Literal["strict", "warn", "permissive"]
Adaptive = Literal["off", "observe", "enforce"]
TokenLimit = int | Literal["auto"] | None
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

KIB, MIB = 1 << 10, 1 << 20
DEFAULT_LISTEN = Address("127.0.0.1", 8080)
DEFAULT_ADMIN_LISTEN = Address("127.0.0.1", 9180)
# Who may connect to a Unix socket: its owner alone.
DEFAULT_MODE = 0o600
# Parts of a GPU by profile.
SHARES: dict[Profile, int] = {"instant": 4, "thinking": 1}


@dataclass(frozen=True)
class Admin:
    """The admin listener. Without a ``token``, serve makes a random one.

    ``listen_mode`` is the permissions of the socket's file if it is a Unix socket.
    """

    listen: Address = DEFAULT_ADMIN_LISTEN
    token: str | None = field(default=None, repr=False)
    listen_mode: int = DEFAULT_MODE


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; ``connections`` counts client connections of one worker."""

    body: int = 8 * MIB
    head: int = 16 * KIB
    connections: int = 10_000
    response: int = 32 * MIB
    event: int = 1 * MIB


@dataclass(frozen=True)
class Access:
    """Who may use the data listener, and how a trusted proxy says whom a request is for.

    ``tenant_header`` and ``priority_header`` are names in lower case; the latter holds high, normal or low. From an
    address outside ``Settings.trusted_proxies`` neither counts.
    """

    allow_anonymous: bool = False
    tenant_header: str | None = None
    priority_header: str | None = None


@dataclass(frozen=True)
class Cors:
    """Who may use the data listener from web pages of another origin: ``origins`` as browsers send them; ``*``: all."""

    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drain:
    """Seconds of the shutdown: before accepting stops, and then for the streams of each profile."""

    delay: float = 0.0
    instant: float = 60.0
    thinking: float = 600.0


@dataclass(frozen=True)
class Log:
    """``auto`` is the console form on a terminal, else JSON."""

    format: LogFormat = "auto"
    level: LogLevel = "info"


@dataclass(frozen=True)
class Node:
    """A GPU machine; ``concurrency`` caps all its backends together."""

    name: str
    concurrency: int | None = None


@dataclass(frozen=True)
class BackendTls:
    """Paths of PEM files: the authorities to trust instead of the system's, and a client certificate with its key."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Backend:
    """One model server. ``concurrency`` is the requests that run on it at once; 0: drained on purpose.

    ``serves`` is the model name that the server knows (None: found by a probe); ``keep_alive`` how many seconds an idle
    connection is kept; ``abort_grace`` how many seconds an aborted request counts as running at most, and
    ``abort_hold`` at least, for servers that close the connection before their engine has stopped. ``headers`` are sent
    with each request, names in lower case; their values are secrets. With ``stream_whole`` whole answers are asked for
    as streams and put together, for servers that notice only while they stream that a client has left.

    ``prefill_tokens`` bounds the prompt tokens in flight that its cache does not hold, ``kv_tokens`` the tokens of its
    KV memory that are reserved; ``"auto"``: by the learned rate, and by the engine's own facts. ``weight`` is what it
    gets beside others of the same speed, from 0.001 to 1000.
    """

    name: str
    url: Url
    concurrency: int
    prefill_tokens: TokenLimit = None
    kv_tokens: TokenLimit = None
    weight: float = 1.0
    serves: str | None = None
    node: str | None = None
    keep_alive: float = 3.0
    abort_grace: float = 0.25
    abort_hold: float = 0.0
    stream_whole: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: BackendTls | None = None


@dataclass(frozen=True)
class Queue:
    """Bounds of a tier's queue: requests, estimated tokens and bytes of bodies in it, and seconds of waiting.

    ``tenant_requests`` bounds the waiting requests of one tenant. It holds for requests whose tenant is known; all
    others share the queue's own bounds.
    """

    requests: int = 1024
    tokens: int = 2_000_000
    bytes: int = 256 * MIB
    wait: float = 2.0
    tenant_requests: int = 256

    @classmethod
    def of(cls, profile: Profile) -> Queue:
        """The defaults of a profile."""
        return cls(wait=30.0) if profile == "thinking" else cls()


@dataclass(frozen=True)
class Slo:
    """What a tier aims at, in seconds: from arrival to the first token, and between the tokens of a stream."""

    first_token: float | None = None
    inter_token: float | None = None

    @classmethod
    def of(cls, profile: Profile) -> Slo:
        """The defaults of a profile."""
        return cls(first_token=30.0, inter_token=0.1) if profile == "thinking" else cls()


@dataclass(frozen=True)
class Bands:
    """The parts that requests of each priority get while all of them wait."""

    high: int = 8
    normal: int = 3
    low: int = 1


@dataclass(frozen=True)
class Affinity:
    """What draws a request to the backend of an earlier one: the same ``prefix`` of the prompt, or the same value of
    ``header``, a name in lower case.
    """

    prefix: bool = True
    header: str | None = "x-session-id"


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, from dispatch to the first meaningful event, between events, and over all."""

    connect: float = 1.0
    first_event: float = 10.0
    between_events: float = 15.0
    total: float = 120.0

    @classmethod
    def of(cls, profile: Profile) -> Timeouts:
        """The defaults of a profile."""
        return cls(first_event=180.0, between_events=120.0, total=1800.0) if profile == "thinking" else cls()


@dataclass(frozen=True)
class Parameters:
    """What happens to the parameters of a request.

    ``default`` fills absent or null keys, ``force`` is an RFC 7396 merge patch applied last, ``max_tokens`` caps the
    length asked for; ``allow`` names the keys of ``chat_template_kwargs`` that a client may set. ``unsupported`` is
    what a length above the cap and other template arguments meet; keys that only a backend's profile can judge pass.
    """

    default: dict[str, Any] = field(default_factory=dict)
    force: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    unsupported: Unsupported = "warn"
    allow: tuple[str, ...] = ("enable_thinking", "thinking", "reasoning_effort")


@dataclass(frozen=True)
class Tier:
    """A set of models with one service level. ``models`` are names that clients send, ``backends`` are names of ours.

    ``share`` is its part beside other tiers that wait for the same backend or node (``SHARES`` has the defaults).
    ``adaptive`` is whether a limit of running requests is learned, and then only shown or also kept. ``media_tokens``
    are the prompt tokens that an image, a sound, a video or a file counts as, whatever its size. ``retry_budget`` is
    the fraction of requests that may be retries.
    """

    name: str
    profile: Profile
    models: tuple[str, ...]
    backends: tuple[str, ...]
    concurrency: int | None = None
    share: int = SHARES["instant"]
    slo: Slo = Slo()
    adaptive: Adaptive = "observe"
    media_tokens: int = 1024
    queue: Queue = Queue()
    bands: Bands = Bands()
    affinity: Affinity = Affinity()
    timeouts: Timeouts = Timeouts()
    retry_budget: float = 0.10
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(frozen=True)
class Settings:
    """One whole configuration. The dicts are keyed by name, in the order of the file.

    ``source`` is the file it came from; ``listen_mode`` the permissions of the file if ``listen`` is a Unix socket;
    ``workers`` the number of data-plane processes, with ``auto`` resolved; ``lane`` whether the fast path is on;
    ``warnings`` what is allowed in the file and probably not meant.
    """

    source: str
    workers: int
    listen: Address = DEFAULT_LISTEN
    listen_mode: int = DEFAULT_MODE
    admin: Admin = Admin()
    lane: bool = True
    limits: Limits = Limits()
    access: Access = Access()
    trusted_proxies: tuple[Network, ...] = ()
    cors: Cors = Cors()
    drain: Drain = Drain()
    log: Log = Log()
    nodes: dict[str, Node] = field(default_factory=dict)
    backends: dict[str, Backend] = field(default_factory=dict)
    tiers: dict[str, Tier] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
