"""The keys of a tier. ``settings`` has the whole tree, and says how a key is added."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from penstock.config.section import Key, Section
from penstock.config.values import (
    Concurrency,
    Count,
    CountOrNone,
    DefaultName,
    Duration,
    ForcedName,
    HeaderName,
    ModelName,
    Name,
    Part,
    Share,
    Size,
    Timeout,
    Tokens,
)

Profile = Literal["instant", "thinking"]
Adaptive = Literal["off", "observe", "enforce"]
Unsupported = Literal["strict", "warn", "permissive"]

MIB = 1 << 20
TEMPLATE_ARGUMENTS = ("enable_thinking", "thinking", "reasoning_effort")


def _profile_of(name: str) -> Profile:
    return "thinking" if name == "thinking" else "instant"


class PerTenant(Section, frozen=True):
    """Bounds of one tenant's part of the queue. Requests whose tenant is not known share the queue's own bounds."""

    requests: Annotated[Count, Key("Waiting requests of one tenant, if it is known")] = 256


class Queue(Section, frozen=True):
    """Bounds of a tier's queue."""

    requests: Annotated[CountOrNone, Key("Waiting requests")] = 1024
    tokens: Annotated[Tokens, Key("Estimated tokens that wait")] = 2_000_000
    bytes: Annotated[Size, Key("Bytes of waiting bodies")] = 256 * MIB
    wait: Annotated[Duration, Key("Longest wait", profiles={"thinking": 30.0})] = 2.0
    per_tenant: PerTenant = PerTenant()


class Slo(Section, frozen=True):
    """What a tier aims at; the defaults depend on the profile, and null is no aim."""

    first_token: Annotated[Timeout | None, Key("From arrival to the first token", profiles={"thinking": 30.0})] = None
    inter_token: Annotated[Timeout | None, Key("Between the tokens of a stream", profiles={"thinking": 0.1})] = None


class Bands(Section, frozen=True):
    """Parts of the priorities, while requests of several of them wait."""

    high: Annotated[Part, Key("Part of high priority")] = 8
    normal: Annotated[Part, Key("Part of normal priority, which is the default")] = 3
    low: Annotated[Part, Key("Part of low priority")] = 1


class Affinity(Section, frozen=True):
    """What draws a request to the backend of an earlier one."""

    prefix: Annotated[bool, Key("The same beginning of the prompt")] = True
    header: Annotated[HeaderName | None, Key("The same value of this header; null: none")] = "x-session-id"


class Timeouts(Section, frozen=True):
    """Times after which a request is given up; the defaults depend on the profile.

    Events are meaningful ones: not those that are empty or only name a role. The first is awaited from dispatch on.
    """

    connect: Annotated[Timeout, Key("To connect")] = 1.0
    first_event: Annotated[Timeout, Key("To the first event", profiles={"thinking": 180.0})] = 10.0
    between_events: Annotated[Timeout, Key("Between events", profiles={"thinking": 120.0})] = 15.0
    total: Annotated[Timeout, Key("Over all", profiles={"thinking": 1800.0})] = 120.0


class Retry(Section, frozen=True):
    """Retries before the first event."""

    LATER: ClassVar = ("hedge",)

    budget: Annotated[Share, Key("Share of requests that may be retries")] = 0.10


class Parameters(Section, frozen=True):
    """What happens to the parameters of a request.

    A parameter that only the server can judge passes, whatever ``unsupported`` says.
    """

    default: Annotated[dict[DefaultName, Any], Key("Fills absent or null keys of the request")] = {}
    force: Annotated[dict[ForcedName, Any], Key("Merge patch (RFC 7396) applied to the request last")] = {}
    max_tokens: Annotated[Count | None, Key("Cap on the length asked for")] = None
    unsupported: Annotated[Unsupported, Key("What a length above the cap or a refused template argument meets")] = (
        "warn"
    )
    allow: Annotated[tuple[Name, ...], Key("Keys of chat_template_kwargs that clients may set")] = TEMPLATE_ARGUMENTS


class Tier(Section, frozen=True):
    """A set of models with one service level."""

    LATER: ClassVar = ("heartbeat", "reasoning", "variants")
    PICKS: ClassVar = "profile"

    name: str
    models: Annotated[tuple[ModelName, ...], Meta(min_length=1), Key("Names that clients send")]
    backends: Annotated[tuple[Name, ...], Meta(min_length=1), Key("Model servers for them, of backends")]
    profile: Annotated[Profile, Key("Picks the defaults; absent: by the tier's name", by_name=_profile_of)] = "instant"
    concurrency: Annotated[Concurrency | None, Key("Requests at once in this tier")] = None
    share: Annotated[Part, Key("Its part where tiers wait for one backend", profiles={"thinking": 1})] = 4
    slo: Slo = Slo()
    adaptive: Annotated[Adaptive, Key("A learned limit of requests at once: off, only shown, or enforced")] = "observe"
    media_tokens: Annotated[Count, Key("Prompt tokens that an image, a sound, a video or a file counts as")] = 1024
    queue: Queue = Queue()
    bands: Bands = Bands()
    affinity: Affinity = Affinity()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    parameters: Parameters = Parameters()
