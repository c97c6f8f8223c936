"""The limit on open files, and how many client connections it allows."""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.config.problem import Problem

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["fit_connections", "raise_file_limit"]

# Descriptors for listeners, the log, probes and Python itself.
RESERVED = 256


def raise_file_limit() -> None:
    """Raise the soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def fit_connections(settings: Settings) -> Settings:
    """Lower `limits.connections` to what the limit allows at two descriptors a request, with a warning."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, (hard - RESERVED) // 2)
    if hard == resource.RLIM_INFINITY or settings.limits.connections <= most:
        return settings
    message = f"lowered to {most}: the limit on open files ({hard}) allows no more"
    warning = Problem(settings.source, None, None, "limits.connections", message)
    return replace(
        settings,
        limits=replace(settings.limits, connections=most),
        warnings=(*settings.warnings, warning),
    )
