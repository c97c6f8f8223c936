"""`penstock serve`: a supervisor in the foreground, with a process for control and one for each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.app.roles import ControlRole, OnReady, WorkerRole
from penstock.app.shared import Shared
from penstock.errors import PenstockError
from penstock.process.file_limit import fit_connections, raise_file_limit
from penstock.process.freeze_gc import freeze_gc
from penstock.process.supervisor import Supervisor
from penstock.upstream.dialer import tls_context

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["launch"]


def launch(settings: Settings, on_ready: OnReady) -> int:
    """Serve until a signal ends it, and return the exit code (`Supervisor.run`).

    `on_ready` is awaited once in control, when all workers accept connections.

    Raises:
        ListenError: an address cannot be had.
        PenstockError: a file of a backend cannot be read, the run directory cannot be used, or memory is short.
    """
    raise_file_limit()
    check_files(settings)
    shared = Shared(fit_connections(settings))
    try:
        control = ControlRole(shared, on_ready)
        workers = [WorkerRole(shared, index) for index in range(settings.workers)]
        freeze_gc()
        return Supervisor(control, workers, channel=shared.channel, stop_accepting=shared.stop_accepting).run()
    finally:
        shared.close()


def check_files(settings: Settings) -> None:
    """Read each backend's TLS files once: otherwise every process would fail at its start, again and again.

    Raises:
        PenstockError: naming the backend and the reason.
    """
    for backend in settings.backends.values():
        try:
            tls_context(backend)
        except OSError as error:
            raise PenstockError(f"backends.{backend.name}.tls: {error}") from error
