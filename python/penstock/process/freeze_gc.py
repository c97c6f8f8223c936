"""Keeping Python's garbage collector away from what lives as long as the process."""

from __future__ import annotations

import gc

__all__ = ["freeze_gc"]


def freeze_gc() -> None:
    """Exclude every object that exists now from later collections.

    A collection writes to each object that it visits. After a fork that would copy the pages that parent and child
    share, and in a running worker it would visit the same long-lived objects again and again.
    """
    gc.collect()
    gc.freeze()
