"""The Rust core, as Python sees it. Checked against the built module by stubtest."""

from collections.abc import Callable
from typing import Any, Protocol, final

__all__ = [
    "Admission",
    "Gateway",
    "LaneConfig",
    "LaneConnection",
    "Poller",
    "RequestAttributes",
    "RequestHandle",
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

    Times are nanoseconds of any monotonic clock. Tickets are numbers. Tiers and backends are indices.
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
        priority: str = "normal",
        hits: list[tuple[int, int]] = ...,
        streams: bool = True,
    ) -> tuple[str, int, int]:
        """Offer a request.

        `hits`: backends, and how many of the prompt's tokens each has cached. Returns `granted`, ticket and backend; or
        `queued`, ticket and 0; or `refused:<code>`, 0 and the milliseconds to wait.

        Raises:
            ValueError: no such tier or priority.
        """

    def take(self) -> list[tuple[int, str, int]]:
        """Return the decisions about waiting requests: ticket, then word and number as `offer` returns them."""

    def cancel(self, number: int, now: int) -> bool:
        """Cancel a request whose client has left. Return whether it was still waiting."""

    def first_token(self, number: int, now: int) -> None:
        """Report the request's first token: its prompt has been read."""

    def grow(self, number: int, tokens: int) -> None:
        """Reserve more KV tokens."""

    def settle(self, number: int, prompt_tokens: int, output_tokens: int, cached_tokens: int = 0) -> None:
        """Report the tokens that the request has used."""

    def release(self, number: int, now: int, outcome: str = "success") -> bool:
        """Give the permit back; `outcome` is success, dropped or ignored. False: it was back already.

        Raises:
            ValueError: no such outcome.
        """

    def pushback(self, number: int, now: int) -> bool:
        """Report that the backend refused the request as overloaded.

        Returns whether the request waits again; False: that happened too often.
        """

    def set_limit(self, backend: int, slots: int, now: int) -> None:
        """Change the slots of a backend; 0 drains it."""

    def set_health(self, backend: int, health: str, now: int) -> None:
        """Set the health of a backend: unknown, healthy or down.

        Raises:
            ValueError: no such health.
        """

    def set_kv_tokens(self, backend: int, tokens: int, now: int) -> None:
        """Set how many tokens the KV memory of a backend holds."""

    def tick(self, now: int) -> None:
        """Run the timers. Call it every 10 ms of the caller's time."""

    def charged(self, tenant: str | None) -> int:
        """Return the cost units charged to a tenant."""

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether all lists and counters agree with them."""

@final
class Segment:
    """The memory that all processes of one Penstock share: limits, queues, counters. Made once, before they fork."""

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
        """Return the descriptor that is readable when a worker has notifications; None in ordinary memory."""

    def begin(self, worker: int) -> int:
        """Begin a new generation of a worker, right before it is forked, and return it."""

    def reclaim(self, worker: int, generation: int) -> None:
        """Drop the waiting requests of a worker that has died; its permits pass through `closing`."""

    def watch_lock(self) -> int | None:
        """Wait until a process has held the lock for a second without progress, and kill it.

        Returns its thread id; None after `end_watch`. It releases the GIL and kills without it, as the thread that has
        the GIL may wait for the lock.
        """

    def end_watch(self) -> None:
        """Make `watch_lock`, which runs in another thread, return within 100 ms."""

    def worker_heartbeats(self) -> list[tuple[int, int]]:
        """Return for each worker its pid, 0 if it has none, and when it last ran its timers (monotonic ns)."""

    def log_dropped(self, lines: int) -> None:
        """Count log lines that the control process has dropped."""

    def set_backend(self, backend: int, health: str, serves: str | None = None) -> float | None:
        """Report a probe; `health` is unknown, healthy or down, `serves` the name of the model there.

        Returns:
            How many seconds an outage has lasted, if this ends one.

        Raises:
            ValueError: no such backend or health, or a backend that is not down and whose model's name is not known.
        """

    def note_closed(self, backend: int) -> None:
        """Report that nothing listens at a backend; if it reset connections just before, it has died.

        Raises:
            ValueError: no such backend.
        """

    def set_limit(self, backend: int, slots: int) -> None:
        """Change the slots of a backend; 0 drains it. Running requests go on."""

    def set_kv_tokens(self, backend: int, tokens: int) -> None:
        """Set how many tokens the KV memory of a backend holds, as the engine reports it."""

    def set_context(self, backend: int, tokens: int | None) -> None:
        """Set how many tokens of prompt and answer one request may have there; None: the engine does not report it."""

    def contexts(self) -> list[int | None]:
        """Return for each backend the value that `set_context` got last."""

    def liveness(self, backend: int) -> tuple[int, int | None, float, int]:
        """Return the slots in use, the limit, when a request last received bytes, and how many received none in time.

        The time is in seconds of the monotonic clock, 0 if there was none. The count, since the start, is of streams
        without a first event in time, and of requests that had received nothing when their total time was over.
        """

    def longest_running(self, backend: int) -> float | None:
        """Return for how many seconds the longest-running request there has run; None: none runs."""

    def drift(self, backend: int, signal: str) -> None:
        """Count a signal that a backend's load is not what Penstock has given it.

        Raises:
            ValueError: no such signal.
        """

    def inflight(self, backend: int) -> int:
        """Return the slots in use on a backend."""

    def readiness(self) -> list[tuple[bool, bool]]:
        """Return for each tier whether a backend is healthy, and whether one has been since the start."""

    def states(self) -> list[tuple[str, str]]:
        """Return the name and the state of each backend."""

    def tick(self) -> None:
        """Run admission's timers: expire waiting requests, recover permits of dead workers. Call it every 10 ms."""

    def snapshot(self) -> dict[str, Any]:
        """Return all numbers of /metrics and of the status page (`penstock.metrics.exposition`)."""

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether all lists and counters agree with them."""

@final
class Poller:
    """Reads the plain sockets of one worker, at a fraction of what the loop needs for it.

    It belongs to the thread of its event loop, which must call `poll` whenever `fileno()` is readable.
    """

    def __new__(cls) -> Poller:
        """Make a poller without sockets.

        Raises:
            OSError: no descriptor is free for it.
        """

    def fileno(self) -> int:
        """Return the descriptor that is readable while any socket is."""

    def poll(self) -> None:
        """Read and handle what has arrived, from some sockets more than once."""

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
        """Make the data plane of one generation of a worker.

        Args:
            segment: what it shares with the other processes.
            connect: called with a backend's index and a protocol to open a connection; it returns at once an object
                whose `cancel()` gives the connection up.
            worker: its index.
            generation: what `Segment.begin` has returned; 0 in a process that has only one.
            poller: reads plain sockets; without one their transports do.

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
    ) -> RequestHandle | None:
        """Submit a whole request that was posted to `path`, one of `endpoints()`.

        `attributes`: tenant, priority and sessions; None: the defaults. `headers`: more lines for the answer's head,
        each ended by CRLF.

        The exact bytes of the answer, head included, go to `write` in pieces; then `done` is called once, with
        whether the connection may stay open. Both may happen before this returns. None: the request was refused.

        Raises:
            ValueError: no such path.
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
        """Return the bytes of an error answer that Python gives without the core.

        `counted`: it ended an inference request, so it is counted and logged; `seconds`: how long that request took.

        Raises:
            ValueError: no such code.
        """

    def request_id(self, own: str | None) -> str:
        """Return the client's own request id if it is valid, else a new one."""

    def wake(self) -> None:
        """Start granted requests, and answer refused ones. Call it when `wake_fd` is readable."""

    def gauges(self, connections: int, loop_lag: float) -> None:
        """Set the gauges: how many client connections are open, and by how many seconds the loop is late."""

    def log_dropped(self, lines: int) -> None:
        """Count log lines that this worker has dropped."""

    def tick(self) -> None:
        """Run every timer that is due, and take notifications.

        Events do so too, at most every 10 ms. Call it every 10 ms while `is_waiting`, and every 50 ms otherwise.
        """

    def drain(self) -> None:
        """Refuse every new request with `draining` from now on, and close idle upstream connections."""

    def cut(self, tiers: list[int]) -> None:
        """End the running requests of these tiers with a `draining` error."""

    def close(self) -> None:
        """End everything at once: open requests with a `draining` error, connections by force."""

    def count_incomplete_request(self, request_id: str | None, seconds: float) -> None:
        """Count and log an inference request whose client left before the request was complete."""

    @property
    def active(self) -> int:
        """Requests that have not ended, those included whose answer is complete and whose backend is not."""

    @property
    def is_waiting(self) -> bool:
        """Whether there are requests and no event has come for 5 ms: only a timer can make progress."""

    def take_outages(self) -> list[tuple[str, str | None, float]]:
        """Return the outages that have begun or ended since the last call.

        Each: the backend's name, why requests fail to reach it (None: they reach it again), and how many seconds the
        outage has lasted.
        """

    def take_log(self) -> bytes:
        """Return the access log lines since the last call, each ended by LF."""

@final
class RequestHandle:
    """One running request. Once it has ended, its methods have no effect."""

    def gone(self) -> None:
        """Report that the client has left: nothing more is written to it, and its attempt is aborted at once."""

    def pause(self) -> None:
        """Report that the client's transport is full: the backend is not read any more."""

    def resume(self) -> None:
        """Report that the client reads again: the backend is read again."""

class _LaneHost(Protocol):
    def made(self, connection: LaneConnection, transport: Any) -> bool: ...
    def handed_over(self, connection: LaneConnection, transport: Any, data: bytes, since: float) -> None: ...
    def closing(self, connection: LaneConnection, transport: Any) -> None: ...
    def lost(self, connection: LaneConnection) -> None: ...

@final
class RequestAttributes:
    """Tenant, priority and sessions of a request; made by `LaneConfig.attributes`."""

    def __eq__(self, value: object, /) -> bool: ...

@final
class LaneConfig:
    """What all lane connections of a listener have in common."""

    def __new__(
        cls, *, head: int, body: int, tenant: str | None, priority: str | None, sessions: list[str]
    ) -> LaneConfig:
        """Take limits and header names.

        Args:
            head: most bytes of a head; aiohttp refuses longer ones.
            body: most bytes of a body, likewise.
            tenant: the header that names the tenant, if one is configured.
            priority: the header that gives the priority, likewise.
            sessions: the headers that name sessions.
        """

    @property
    def identity_headers(self) -> list[str]:
        """The headers whose values `attributes` needs, in lower case, each once."""

    def attributes(self, values: dict[str, str], trusted: bool) -> RequestAttributes:
        """Return the attributes of a request.

        Args:
            values: the last value of each of `identity_headers` that it has.
            trusted: whether the peer's tenant and priority headers count.

        Raises:
            ValueError: the priority does not exist; the text names those that do.
        """

    def supports(self, data: bytes) -> bool:
        """Whether these bytes begin with the whole head of a request that the lane supports."""

@final
class LaneConnection:
    """One client connection on the lane, until aiohttp gets it; an asyncio protocol."""

    def __new__(cls, gateway: Gateway, host: _LaneHost, config: LaneConfig) -> LaneConnection:
        """Make one for a new connection.

        Args:
            gateway: answers its requests.
            host: is told of its changes; `made` returns whether it may stay on the lane.
            config: what it has in common with the other connections.
        """

    @property
    def trusted(self) -> bool:
        """Whether the peer's tenant and priority headers count; False at first."""

    @trusted.setter
    def trusted(self, trusted: bool) -> None: ...
    def connection_made(self, transport: Any) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    @property
    def open_transport(self) -> Any | None:
        """The transport; None once it is lost or another protocol has it."""

    @property
    def is_writing_paused(self) -> bool:
        """Whether the transport buffers more than its high-water mark for the client."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes for the client that the kernel has not taken yet."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""

    @property
    def is_finishing(self) -> bool:
        """Whether a drain waits for it."""

    def force_close(self) -> None:
        """Close it when what is written has been sent."""

    def abort(self) -> None:
        """Close it at once; unsent bytes are lost."""

    def sweep(self, now: float) -> None:
        """Close or hand over what takes too long; `now` is `time.monotonic()`. Call it every second."""

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
        """Report that the connection could not be opened; `kind` is refused, connect, timeout or tls."""

def arm_panic(place: str) -> None:
    """Make the next pass of a place panic: submit, offered, upstream, timer, release, done. Development builds only."""

def endpoints() -> list[str]:
    """Return the paths that inference requests are posted to."""
