"""The shapes of vLLM 0.32, after its recordings."""

# ruff: noqa: D102  -- the base class says what each method returns
from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sim.dialects.openai import Dialect
from penstock.sim.exposition import Exposition
from penstock.sim.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sim.dialects.openai import Answer, Json, Page, Site
    from penstock.sim.script import Piece, Reply

__all__ = ["Vllm"]

BLOCK = 16
"""Tokens in a block of the KV cache: vLLM's default on GPUs."""


class Vllm(Dialect):
    """vLLM: many nulls, the last text on the finish chunk, numeric error codes."""

    name = "vllm"
    headers = ("server: uvicorn",)
    early_head = True
    done_after_error = True
    fingerprint = "vllm-0.32.0-5e3a07c1"
    reasoning_key = "reasoning"
    finish_with_text = True
    fence = Fence.IN_FLIGHT
    overload = (503, "The server has as many requests as max_num_queued_reqs allows.")

    def answer_id(self, answer: Answer) -> str:
        return f"chatcmpl-{answer.request_id or answer.seed[:16]}"

    def call_id(self, reply: Reply) -> str:
        return f"chatcmpl-tool-{reply.call_id}"

    def delta(self, piece: Piece, reply: Reply) -> Json:
        if piece.kind == "call":
            call = {"id": self.call_id(reply), "type": "function", "index": 0, "function": {"name": piece.text}}
            return {"content": None, "tool_calls": [call]}
        delta = super().delta(piece, reply)
        return {"content": None, **delta} if piece.kind == "arguments" else delta

    def choice(self, index: int, delta: Json, finish: str | None) -> Json:
        choice = super().choice(index, delta, finish)
        if finish is not None:
            choice["stop_reason"] = None
        return {**choice, "token_ids": None}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        return {
            "id": self.answer_id(answer),
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "choices": choices,
        }

    def role_chunk(self, answer: Answer, index: int) -> Json:
        choice = Dialect.choice(self, index, self.role_delta(), None)
        return {**self.chunk(answer, [choice]), "prompt_token_ids": None, "prompt_text": None}

    def finish_chunk(self, answer: Answer, choice: Json) -> Json:
        chunk = self.chunk(answer, [choice])
        return chunk if answer.wants_usage else {**chunk, "system_fingerprint": self.fingerprint}

    def usage_chunk(self, answer: Answer, usage: Json) -> Json:
        short = {key: usage[key] for key in ("prompt_tokens", "total_tokens", "completion_tokens")}
        return {**self.chunk(answer, []), "usage": short, "system_fingerprint": self.fingerprint}

    def usage(self, answer: Answer, replies: Sequence[Reply]) -> Json:
        usage = super().usage(answer, replies)
        return {
            "prompt_tokens": usage["prompt_tokens"],
            "total_tokens": usage["total_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        }

    def message(self, reply: Reply) -> Json:
        empty = dict.fromkeys(("refusal", "annotations", "audio", "function_call", self.reasoning_key))
        return self.with_extras({"role": "assistant", "content": reply.text("content"), **empty}, reply)

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        whole = super().whole(answer, replies, finishes)
        for choice in whole["choices"]:
            choice |= {"stop_reason": None, "token_ids": None, "routed_experts": None}
        rest = ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params")
        order = ("id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage")
        return {key: whole[key] for key in order} | dict.fromkeys((*rest, "metrics")) | {"service_tier": None}

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
        kind = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 503: "ServiceUnavailableError"}
        kind_name = kind.get(status, "InternalServerError")
        return {"error": {"message": message, "type": kind_name, "param": param, "code": status}}

    def too_long(self, tokens: int, context: int) -> tuple[int, str, Json]:
        # Agents and gateways look for "maximum context length is … tokens" in vLLM's sentence.
        text = f"This model's maximum context length is {context} tokens, and the prompt has {tokens} input tokens."
        return 400, text, self.error(400, f"{text} (parameter=input_tokens, value={tokens})", "input_tokens")

    def no_route(self) -> Page:
        return {"detail": "Not Found"}

    def models(self, site: Site) -> Json:
        entry = {"id": site.model, "object": "model", "created": site.created, "owned_by": "vllm"}
        entry |= {"root": site.model, "parent": None}
        return {"object": "list", "data": [{**entry, "max_model_len": site.context, "permission": []}]}

    def page(self, path: str, query: str, site: Site) -> tuple[int, Page] | None:
        if path == "/version":
            return 200, {"version": "0.32.0"}
        return (200, _metrics(site)) if path == "/metrics" else super().page(path, query, site)


def _metrics(site: Site) -> bytes:
    engine, batch, profile = site.engine, site.engine.batch, site.engine.profile
    page = Exposition(engine="0", model_name=site.model)
    page.gauge("vllm:num_requests_running", float(batch.running))
    page.gauge("vllm:num_requests_waiting", float(batch.waiting))
    reasons = {"capacity": float(batch.waiting), "deferred": 0.0}
    page.family("vllm:num_requests_waiting_by_reason", "gauge", reasons, "reason")
    page.gauge("vllm:kv_cache_usage_perc", batch.kv_used / profile.kv_tokens)
    page.counter("vllm:num_preemptions_total", float(batch.preemptions))
    # There is no prefix cache: every prompt token is asked for, and none is found.
    page.counter("vllm:prefix_cache_queries_total", float(batch.prefilled_tokens))
    page.counter("vllm:prefix_cache_hits_total", 0.0)
    page.counter("vllm:prompt_tokens_total", float(batch.prefilled_tokens))
    page.counter("vllm:generation_tokens_total", float(batch.generated_tokens))
    turned_away = {"max_num_queued_reqs": float(engine.stats.turned_away)}
    page.family("vllm:admission_rejections_total", "counter", turned_away, "reason")
    page.histogram("vllm:time_to_first_token_seconds", engine.first_token_seconds)
    page.histogram("vllm:inter_token_latency_seconds", engine.inter_token_seconds)
    page.histogram("vllm:request_queue_time_seconds", engine.queue_seconds)
    page.info(
        "vllm:cache_config_info",
        block_size=str(BLOCK),
        num_gpu_blocks=str(profile.kv_tokens // BLOCK),
        kv_cache_size_tokens=str(profile.kv_tokens // BLOCK * BLOCK),
    )
    return page.text()
