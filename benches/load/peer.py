"""What stands between the load and the stub: Penstock, or one of its peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MODEL", "Peer"]

MODEL = "instant-model"
"""The name that the generator asks for."""


@dataclass(frozen=True)
class Peer:
    """A proxy that can be installed from package registries and started on a port."""

    name: str
    note: str
    """What it is, and which version."""
    command: Callable[[Path, Path, int, int], list[str]]
    """``command(home, folder, port, backend)``: writes its configuration into `folder` and returns the arguments that
    start it on 127.0.0.1:port in front of 127.0.0.1:backend. `home` is where `install` has put it."""
    missing: Callable[[Path], str | None] = lambda _: None
    """``missing(home)``: why it cannot run here ("nginx not found"); None if it can."""
    install: Callable[[Path], None] | None = None
    """``install(home)``: fetches it into ``home/<name>``; may be called again. None: the system has it."""
    patient: bool = True
    """Whether it may be stopped (SIGSTOP) while others are measured."""
    headers: Callable[[int], dict[str, str]] = lambda _: {}
    """``headers(backend)``: what each request to it must carry besides the usual."""
