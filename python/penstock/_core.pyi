"""The Rust core, as Python sees it. Checked against the built module by stubtest."""

from collections.abc import Callable
from typing import Any, Protocol, final

__all__ = [
    "Admission",
    "Call",
    "Gateway",
    "LaneConnection",
    "LaneTerms",
    "Poller",
    "RequestAttributes",
    "Segment",
    "UpstreamConnection",
    "arm_panic",
    "endpoints",
]

class _Cancellable(Protocol):
    def cancel(self) -> object: ...

@final
class Admission:
    """The limiter alone, on the caller's own time: for simulations of a gateway without sockets.

    Times are nanoseconds of any clock that goes forward. Tickets are numbers. Tiers and backends are indices.
    """

    def __new__(cls, config: str) -> Admission:
        """Make a limiter in ordinary memory; `config` as for `Segment`.

        Raises:
            ValueError: the configuration does not fit together.
        """

    def offer(
        self,
        now: int,
        *,
        tier: int,
        prompt_tokens: int,
        max_tokens: int | None = None,
        held_bytes: int = 0,
        slots: int = 1,
        tenant: str | None = None,
        weight: int = 1,
        band: str = "normal",
        hits: list[tuple[int, int]] = ...,
        streams: bool = True,
    ) -> tuple[str, int, int]:
        """Ask to let a request in.

        `hits` are prompt tokens that a backend has cached. Returns `granted`, ticket and backend; or `queued`, ticket
        and 0; or `refused:<code>`, 0 and the milliseconds to wait.

        Raises:
            ValueError: no such tier or band.
        """

    def take(self) -> list[tuple[int, str, int]]:
        """Return what was decided about waiting requests: ticket, then word and number as of `offer`."""

    def cancel(self, number: int, now: int) -> bool:
        """Say that the client has left. Return whether the request was still waiting."""

    def first_token(self, number: int, now: int) -> None:
        """Say that the prompt has been read."""

    def grow(self, number: int, tokens: int) -> None:
        """Reserve more KV tokens."""

    def settle(self, number: int, prompt_tokens: int, output_tokens: int, cached_tokens: int = 0) -> None:
        """Tell what the request has really used."""

    def release(self, number: int, now: int, outcome: str = "success") -> bool:
        """Give the permit back; `outcome` is success, dropped or ignored. False: it was back already.

        Raises:
            ValueError: no such outcome.
        """

    def bounce(self, number: int, now: int) -> bool:
        """Say that the backend had no room. True: the request waits again; False: it has bounced too often."""

    def set_limit(self, backend: int, slots: int, now: int) -> None:
        """Change the slots of a backend; 0 drains it."""

    def set_health(self, backend: int, health: str, now: int) -> None:
        """Set the health of a backend: unknown, healthy or down.

        Raises:
            ValueError: no such health.
        """

    def set_kv_tokens(self, backend: int, tokens: int, now: int) -> None:
        """Tell how many tokens the KV memory of a backend holds."""

    def tick(self, now: int) -> None:
        """Let time pass. To be called every 10 ms of it."""

    def charged(self, tenant: str | None) -> int:
        """Return the cost units charged to a tenant."""

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether every sum and list agrees with them."""

@final
class Segment:
    """What all processes of one Penstock share: limits, queues, counters. Made once, before they part."""

    def __new__(cls, config: str, workers: int = 1, *, shared: bool = True) -> Segment:
        """Make the shared state.

        Args:
            config: the routing part of the configuration as JSON (`penstock.config.routing`).
            workers: how many data-plane processes there will be, 1 to 64.
            shared: in memory that forked processes inherit; False: in ordinary memory, for one process.

        Raises:
            ValueError: the configuration does not fit together.
            OSError: there is no memory, or no descriptor.
        """

    def wake_fd(self, worker: int) -> int | None:
        """Return the descriptor that becomes readable when a worker has mail; None in ordinary memory."""

    def begin(self, worker: int) -> int:
        """Begin a new life of a worker, right before it is forked, and return its generation."""

    def reclaim(self, worker: int, generation: int) -> None:
        """Say that this life of a worker is over: its waiting requests go, its permits pass through `closing`."""

    def watch_lock(self) -> int | None:
        """Wait until a process has held the lock for a second without progress, and kill it.

        Returns its thread id; None after `end_watch`. The GIL is free meanwhile, and not needed to kill.
        """

    def end_watch(self) -> None:
        """End `watch_lock`, which another thread is in, within 100 ms."""

    def pulses(self) -> list[tuple[int, int]]:
        """Return of each worker its pid, 0 if it has none, and when it has last run its timers (monotonic ns)."""

    def log_dropped(self, lines: int) -> None:
        """Count log lines that the control process has dropped."""

    def set_backend(self, backend: int, health: str, serves: str | None = None) -> float | None:
        """Tell what a probe has found; `health` is unknown, healthy or down, `serves` the name of the model there.

        Returns:
            For how many seconds requests had not got through to it, if that is over by this.

        Raises:
            ValueError: no such backend or health, or a backend that is not down without a known name.
        """

    def note_closed(self, backend: int) -> None:
        """Tell that nobody listens at a backend; if it has broken connections off just before, it has died.

        Raises:
            ValueError: no such backend.
        """

    def set_limit(self, backend: int, slots: int) -> None:
        """Change the slots of a backend; 0 drains it. Nothing that runs is killed."""

    def set_kv_tokens(self, backend: int, tokens: int) -> None:
        """Tell how many tokens the KV memory of a backend holds, by its own word."""

    def set_context(self, backend: int, tokens: int | None) -> None:
        """Tell how many tokens of prompt and answer one request may have there; None: the engine does not say."""

    def contexts(self) -> list[int | None]:
        """Return for each backend what `set_context` was told last."""

    def liveness(self, backend: int) -> tuple[int, int | None, float, int]:
        """Return the slots in use, the limit, when a request last had something, and the requests that had nothing.

        The time is in seconds of the monotonic clock, 0 if there was none. Counted since the start are streams without
        a first event in time, and requests of which nothing had come when their total time was over.
        """

    def longest_running(self, backend: int) -> float | None:
        """Return for how many seconds the request has run that runs longest there; None: none runs."""

    def drift(self, backend: int, signal: str) -> None:
        """Count a sign that a backend does something else than what it was given.

        Raises:
            ValueError: no such signal.
        """

    def inflight(self, backend: int) -> int:
        """Return the slots in use on a backend."""

    def readiness(self) -> list[tuple[bool, bool]]:
        """Return for each tier whether a backend is known to be well, and whether one has been since the start."""

    def states(self) -> list[tuple[str, str]]:
        """Return the name and the state of each backend."""

    def tick(self) -> None:
        """Let time pass: what waits expires, what a dead worker held comes back. To be called every 10 ms."""

    def snapshot(self) -> dict[str, Any]:
        """Return all numbers of /metrics and of the status page (`penstock.metrics.exposition`)."""

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether every sum and list agrees with them."""

@final
class Poller:
    """Reads the plain sockets of one worker, which a loop would do at several times the cost.

    It belongs to the thread of its event loop, which is to call `poll` whenever `fileno()` is readable.
    """

    def __new__(cls) -> Poller:
        """Make one that has nothing to read.

        Raises:
            OSError: the kernel has no descriptor left for it.
        """

    def fileno(self) -> int:
        """Return the descriptor that is readable while any socket is."""

    def poll(self) -> None:
        """Read what has come, some sockets more than once, and have it dealt with."""

@final
class Gateway:
    """The data plane of one worker. It belongs to the thread of its event loop."""

    def __new__(
        cls,
        segment: Segment,
        connect: Callable[[int, UpstreamConnection], _Cancellable],
        *,
        worker: int = 0,
        generation: int = 0,
        poller: Poller | None = None,
    ) -> Gateway:
        """Make the data plane of one life of a worker.

        Args:
            segment: what it shares with the others.
            connect: called with a backend's index and a protocol whenever a connection is wanted; it returns at once,
                with something that has `cancel()`.
            worker: its index.
            generation: what `Segment.begin` has returned for this life; 0 in a process that has only one.
            poller: who reads plain sockets; without one their transports do.

        Raises:
            ValueError: no such worker.
        """

    def submit(
        self,
        path: str,
        body: bytes,
        *,
        request_id: str | None,
        keep_alive: bool,
        http10: bool,
        write: Callable[[bytes], object],
        done: Callable[[bool], object],
        attributes: RequestAttributes | None = None,
        headers: bytes | None = None,
    ) -> Call | None:
        """Take a whole request that was posted to `path`, one of `endpoints()`.

        `attributes`: whom it comes from; None: nobody in particular. `headers`: lines that the head of the answer
        carries besides, each ended by CRLF.

        The exact bytes of the answer, head included, go to `write` piece by piece; then `done` is called once, with
        whether the connection may stay open. Both may happen before this returns. None: the request was refused.

        Raises:
            ValueError: no such path, or no such band.
        """

    def error_answer(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        request_id: str | None,
        keep_alive: bool,
        http10: bool,
        counted: bool,
        headers: bytes | None = None,
        retry_after_ms: int | None = None,
        seconds: float = 0.0,
    ) -> bytes:
        """Return the bytes of an error answer that Python's side gives by itself.

        `counted`: it ended an inference request, so it belongs in the log and the metrics; `seconds`: how long that
        one took.

        Raises:
            ValueError: no such code.
        """

    def request_id(self, own: str | None) -> str:
        """Return the client's own request id if its form is allowed, else a new one."""

    def wake(self) -> None:
        """Take the mail: start what was granted, tell what was turned away. To be called when `wake_fd` is readable."""

    def gauges(self, connections: int, loop_lag: float) -> None:
        """Tell how many client connections are open, and how late the loop is in seconds."""

    def log_dropped(self, lines: int) -> None:
        """Count log lines that this worker has dropped."""

    def tick(self) -> None:
        """Run every timer that is due, and look at the mail.

        Whatever happens does so too, at most every 10 ms. To be called every 10 ms while `is_waiting`, and every 50 ms
        otherwise.
        """

    def drain(self) -> None:
        """Refuse every new request with `draining` from now on, and close idle upstream connections."""

    def cut(self, tiers: list[int]) -> None:
        """End what still runs in these tiers with a `draining` error."""

    def close(self) -> None:
        """End everything at once: open requests with a `draining` error, connections by force."""

    def left_early(self, request_id: str | None, seconds: float) -> None:
        """Count and log an inference request whose client left before it was read whole."""

    @property
    def active(self) -> int:
        """Requests in hand, those included whose backend has not quite ended."""

    @property
    def is_waiting(self) -> bool:
        """Whether requests are in hand and nothing has happened for 5 ms: only a timer can go on."""

    def take_outages(self) -> list[tuple[str, str | None, float]]:
        """Return the outages that have begun or ended since the last call.

        Each: the backend's name, why requests do not get through to it (None: they do again), and for how many seconds
        none did.
        """

    def take_log(self) -> bytes:
        """Return the access log lines since the last call, each ended by LF."""

@final
class Call:
    """One request in hand. It outlives its answer harmlessly: every method is then without effect."""

    def gone(self) -> None:
        """Say that the client has left: nothing more is written to it, and the backend is told at once."""

    def pause(self) -> None:
        """Say that the client's transport is full: the backend is not read any further."""

    def resume(self) -> None:
        """Say that the client reads again."""

class _LaneHost(Protocol):
    def made(self, connection: LaneConnection, transport: Any) -> bool: ...
    def handed_over(self, connection: LaneConnection, transport: Any, data: bytes, since: float) -> None: ...
    def closing(self, connection: LaneConnection, transport: Any) -> None: ...
    def lost(self, connection: LaneConnection) -> None: ...

@final
class RequestAttributes:
    """Tenant, priority and sessions of a request; made by `LaneTerms.attributes`."""

    def __eq__(self, value: object, /) -> bool: ...

@final
class LaneTerms:
    """What all connections of the lane have in common."""

    def __new__(
        cls, *, head: int, body: int, tenant: str | None, priority: str | None, sessions: list[str]
    ) -> LaneTerms:
        """Take limits and names.

        Args:
            head: bytes of a head, above which a request is aiohttp's to refuse.
            body: bytes of a body, likewise.
            tenant: the header that names the tenant, where one is configured.
            priority: the header that gives the priority, likewise.
            sessions: the headers that name sessions.
        """

    @property
    def identity_headers(self) -> list[str]:
        """The headers whose values `attributes` needs, in lower case, each once."""

    def attributes(self, values: dict[str, str], trusted: bool) -> RequestAttributes:
        """Return who a request comes from.

        Args:
            values: the last value of each of `identity_headers` that it has.
            trusted: whether the peer's word on tenant and priority counts.

        Raises:
            ValueError: the priority does not exist; the text names those that do.
        """

    def serves(self, data: bytes) -> bool:
        """Whether these bytes begin with the whole head of a request that the lane serves."""

@final
class LaneConnection:
    """One client connection on the lane, until aiohttp gets it; an asyncio protocol."""

    def __new__(cls, gateway: Gateway, host: _LaneHost, terms: LaneTerms) -> LaneConnection:
        """Make one for a new connection.

        Args:
            gateway: what serves.
            host: who is told of it; `made` says whether it may stay on the lane.
            terms: what it has in common with the others.
        """

    @property
    def trusted(self) -> bool:
        """Whether the peer's tenant and priority headers count. They do not before it is said."""

    @trusted.setter
    def trusted(self, trusted: bool) -> None: ...
    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    @property
    def wire(self) -> Any | None:
        """The transport, while it is this connection's."""

    @property
    def is_held_back(self) -> bool:
        """Whether more waits for the client than the transport's high-water mark."""

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet, the kernel's buffer not counted."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""

    @property
    def is_finishing(self) -> bool:
        """Whether a drain waits for it."""

    def force_close(self) -> None:
        """Close it when what is written has left."""

    def abort(self) -> None:
        """Drop it and whatever was not sent."""

    def sweep(self, now: float) -> None:
        """Cut or hand over what takes too long; `now` is `time.monotonic()`. To be called every second."""

@final
class UpstreamConnection:
    """The asyncio protocol on a connection to a backend. Made by the gateway."""

    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connect_failed(self, kind: str, detail: str) -> None:
        """Say that the connection could not be made; `kind` is connect, timeout or tls."""

def arm_panic(place: str) -> None:
    """Make the next pass of a place panic: submit, upstream, timer or release. Only in development builds."""

def endpoints() -> list[str]:
    """Return the paths that inference requests are posted to."""
