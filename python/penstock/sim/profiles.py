"""How long a step of the engine takes on the machines that the cost model was fitted to.

The form and most constants follow the H100 fit of the project inference-sim; ``t0`` was fitted anew to published
measurements (InferenceBench: 8B fp16, 6.5 ms a token alone; vLLM issue 14333: 70B prefill), ``cb`` is a guess.
Nothing of it was measured here. All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROFILES", "Profile", "attended"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One model on one machine, and the limits of the engine that serves it.

    Raises ValueError for limits that no engine would start with.
    """

    name: str
    t0: float
    """Seconds per step: reading the weights, and the kernels' overhead. Fitted to measured TPOT at one sequence."""
    cb: float
    """Seconds per decoding sequence and step: sampling and bookkeeping. A guess."""
    ckv: float
    """Seconds per context token of a decoding sequence and step: reading its KV cache."""
    cp: float
    """Seconds per prefill token: the matrix products."""
    ca: float
    """Seconds per (prefill token x context token): attention, the part that grows with the square of the prompt."""
    kv_tokens: int
    """Tokens that the KV cache holds, with bf16 KV."""
    chunk: int
    """Most tokens in a step, decodes included (vLLM's max_num_batched_tokens)."""
    context: int
    """Longest prompt and answer together, in tokens, unless the server is told otherwise: the models' own limits."""
    max_num_seqs: int = 256
    """Most sequences in the batch: the default of vLLM's API server."""
    api: float = 15e-3
    """Seconds per request outside the steps: HTTP, tokenizer, scheduling."""
    api_token: float = 50e-6
    """Seconds per prompt token outside the steps."""

    def __post_init__(self) -> None:
        if min(self.kv_tokens, self.max_num_seqs) < 1 or min(self.t0, self.cb, self.ckv, self.cp, self.ca) < 0:
            raise ValueError(f"{self.name}: sizes are at least 1 and times at least 0")
        if self.chunk < self.max_num_seqs:
            # Otherwise a full batch could not decode in one step; vLLM refuses such a setting too.
            raise ValueError(f"{self.name}: chunk is {self.chunk}, less than max_num_seqs {self.max_num_seqs}")

    def step_seconds(self, decodes: int, context: int, prefill: int = 0, attended: float = 0.0) -> float:
        """Return the seconds of a step: ``t0 + cb*B + ckv*sum(context of decodes) + cp*P + ca*A``.

        decodes: sequences that take one token each. context: prompt and generated tokens of all of them together.
        prefill: prompt tokens in the step. attended: the sum of :func:`attended` over its prefill chunks.
        """
        return self.t0 + self.cb * decodes + self.ckv * context + self.cp * prefill + self.ca * attended

    def api_seconds(self, prompt: int) -> float:
        """Return the seconds that a request of `prompt` tokens spends before the engine sees it."""
        return self.api + self.api_token * prompt


def attended(tokens: int, before: int) -> float:
    """Return how many (token x context token) pairs a prefill chunk attends to, after `before` earlier tokens."""
    return tokens * (before + tokens / 2)


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # 8B in bf16 on one H100; measured TPOT 6.48 ms alone (InferenceBench recipe).
        Profile("8b-h100", t0=6.5e-3, cb=15e-6, ckv=76e-9, cp=30e-6, ca=1.1e-9,
                kv_tokens=400_000, chunk=2048, context=40_960),
        # 8B in bf16 on one H200: more bandwidth, the same arithmetic.
        Profile("8b-h200", t0=4.8e-3, cb=15e-6, ckv=53e-9, cp=30e-6, ca=1.1e-9,
                kv_tokens=820_000, chunk=2048, context=40_960),
        # 70B in bf16, tensor-parallel on four H100.
        Profile("70b-h100x4", t0=18e-3, cb=20e-6, ckv=48e-9, cp=79e-6, ca=1.3e-9,
                kv_tokens=415_000, chunk=8192, context=131_072),
        # 70B in FP8, tensor-parallel on two H200.
        Profile("70b-fp8-h200x2", t0=14e-3, cb=20e-6, ckv=67e-9, cp=90e-6, ca=1.5e-9,
                kv_tokens=540_000, chunk=8192, context=131_072),
    )
}  # fmt: skip
