"""Serving in the foreground, with a process for each part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.app.roles import ControlRole, Greet, WorkerRole, settle
from penstock.app.shared import Shared
from penstock.errors import PenstockError
from penstock.process.file_limit import fit_connections, raise_file_limit
from penstock.process.supervisor import Supervisor
from penstock.upstream.dialer import tls_context

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["launch"]


def launch(settings: Settings, greet: Greet) -> int:
    """Serve until a signal says otherwise, and return the exit code (`Supervisor.run`).

    `greet` is awaited once in control, when all workers accept connections.

    Raises:
        ListenError: an address cannot be had.
        PenstockError: a file of a backend cannot be read, the run directory cannot be used, or memory is short.
    """
    raise_file_limit()
    check_files(settings)
    shared = Shared(fit_connections(settings))
    try:
        control = ControlRole(shared, greet)
        workers = [WorkerRole(shared, index) for index in range(settings.workers)]
        # A collection in a child would write to every object, and so copy the memory that it shares with the others.
        settle()
        return Supervisor(control, workers, news=shared.news, stop_accepting=shared.stop_accepting).run()
    finally:
        shared.close()


def check_files(settings: Settings) -> None:
    """Read once what every process will read: else each would fail at its start, again and again.

    Raises:
        PenstockError: naming the backend and the reason.
    """
    for backend in settings.backends.values():
        try:
            tls_context(backend)
        except OSError as error:
            raise PenstockError(f"backends.{backend.name}.tls: {error}") from error
