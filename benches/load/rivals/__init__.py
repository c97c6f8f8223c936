"""The peers that Penstock is measured beside, one file each; README.md says how and why each is set up as it is."""

from rivals import aiohttp_peer, envoy, haproxy, litellm, nginx, portkey, sglang_router, vllm_router

__all__ = ["RIVALS"]

RIVALS = tuple(
    module.PEER for module in (nginx, haproxy, envoy, vllm_router, sglang_router, aiohttp_peer, portkey, litellm)
)
"""In the order in which their costs are expected, the cheapest first."""
