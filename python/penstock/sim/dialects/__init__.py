"""How the simulated server words its answers.

vLLM, llama.cpp and TGI follow recordings of the real servers (tests/recordings), key by key and in their order; SGLang
follows what was found in its source. Everything here is data and pure functions: no sockets, no time.
"""

from penstock.sim.dialects.llamacpp import LlamaCpp
from penstock.sim.dialects.openai import Answer, Dialect, Site
from penstock.sim.dialects.sglang import Sglang
from penstock.sim.dialects.tgi import Tgi
from penstock.sim.dialects.vllm import Vllm

__all__ = ["DIALECTS", "Answer", "Dialect", "Site"]

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Vllm(), Sglang(), LlamaCpp(), Tgi(), Dialect())}
