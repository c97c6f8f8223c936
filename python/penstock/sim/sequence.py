"""One answer to one prompt, as the engine's scheduler sees it: two numbers of tokens, and where it is."""

from __future__ import annotations

from enum import Enum

__all__ = ["Sequence", "Stage"]


class Stage(Enum):
    """Where a sequence is."""

    NEW = "new"
    """Not submitted yet."""
    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    STUCK = "stuck"
    """All is generated, but it keeps its place until it is aborted."""
    OVER = "over"


class Sequence:
    """One answer to one prompt. Subclasses add which request it belongs to."""

    __slots__ = ("arrival", "base", "last", "output", "priority", "prompt", "stage", "sticks", "target", "tokens")

    def __init__(self, prompt: int, output: int, *, priority: int = 0, sticks: bool = False) -> None:
        """Take `prompt` and `output` in tokens, both at least 1; `sticks`: see Stage.STUCK."""
        self.prompt = prompt
        self.output = output
        self.priority = priority
        self.sticks = sticks
        self.stage = Stage.NEW
        self.arrival = 0
        """Number in the order of arrival."""
        self.tokens = 0
        """Generated before the present decode began; :meth:`Batch.generated` knows the rest."""
        self.target = 0
        """Tokens to prefill: the prompt, and after a preemption what had been generated too."""
        self.base = 0
        """Prefilled so far, or the step in which the decode began."""
        self.last = 0
        """The step that generates the last token."""
