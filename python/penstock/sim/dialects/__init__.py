"""How the simulated server words its answers.

vLLM and llama.cpp follow recordings of the real servers (tests/recordings), key by key and in their order. Everything
here is data and pure functions: no sockets, no time.
"""

from penstock.sim.dialects.llamacpp import LlamaCpp
from penstock.sim.dialects.openai import Answer, Dialect
from penstock.sim.dialects.vllm import Vllm

__all__ = ["DIALECTS", "Answer", "Dialect"]

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Vllm(), LlamaCpp(), Dialect())}
