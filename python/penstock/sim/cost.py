"""How long the engine takes, as pure functions of a profile and of the batch: seconds in virtual time, no clock.

The formula is that of :mod:`penstock.sim.profiles`. What is left out until the batching engine takes this file's place:
prefills of several requests sharing one step, preemption when the KV cache is full, and jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.sim.profiles import Profile

__all__ = ["Batch", "first_token_seconds", "inter_token_seconds", "step_seconds"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The sequences that decode in a step."""

    sequences: int = 0
    context_tokens: int = 0
    """Prompt and generated tokens of all of them together."""


def step_seconds(profile: Profile, batch: Batch, prefill: int = 0, done: int = 0) -> float:
    """Return the seconds of one step that decodes `batch` and prefills `prefill` tokens after `done` earlier ones."""
    decode = profile.cb * batch.sequences + profile.ckv * batch.context_tokens
    attention = profile.ca * prefill * (done + prefill / 2)
    return profile.t0 + decode + profile.cp * prefill + attention


def first_token_seconds(profile: Profile, prompt_tokens: int, batch: Batch) -> float:
    """Return the seconds from admission to the first token, beside a batch that does not change meanwhile.

    The prompt is prefilled in chunks of ``profile.chunk`` tokens, each in a step that also decodes the batch. Waiting
    for a slot is not included.
    """
    seconds = profile.api + profile.api_token * prompt_tokens
    for done in range(0, prompt_tokens, profile.chunk):
        seconds += step_seconds(profile, batch, min(profile.chunk, prompt_tokens - done), done)
    return seconds


def inter_token_seconds(profile: Profile, batch: Batch) -> float:
    """Return the seconds between two tokens of a sequence of `batch`."""
    return step_seconds(profile, batch)
