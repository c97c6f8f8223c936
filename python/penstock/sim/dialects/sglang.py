"""The shapes of SGLang 0.5, after its source; there is no recording."""

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

__all__ = ["Sglang"]

VERSION = "0.5.23"


class Sglang(Dialect):
    """SGLang: flat errors, any model name, a reasoning key that is always there."""

    name = "sglang"
    headers = ("server: uvicorn",)
    early_head = True
    checks_model = False
    echoes_model = True
    done_after_error = True
    named_finish = "tool_calls"
    fence = Fence.WAITING
    overload = (503, "The request queue is full.")

    def answer_id(self, answer: Answer) -> str:
        return answer.request_id or answer.seed

    def delta(self, piece: Piece, reply: Reply) -> Json:
        empty = dict.fromkeys(("content", "reasoning_content", "tool_calls"))
        delta = {**empty, **super().delta(piece, reply)}
        if piece.kind == "arguments":
            # A continuation names everything again, as null.
            function = {"name": None, "arguments": piece.text}
            delta["tool_calls"] = [{"id": None, "index": 0, "type": "function", "function": function}]
        return delta

    def role_delta(self) -> Json:
        return {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}

    def choice(self, index: int, delta: Json, finish: str | None) -> Json:
        return {**super().choice(index, delta, finish), "matched_stop": None}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        chunk = {
            "id": self.answer_id(answer),
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "choices": choices,
        }
        return {**chunk, "usage": None}

    def usage(self, answer: Answer, replies: Sequence[Reply]) -> Json:
        usage = super().usage(answer, replies)
        short = {key: usage[key] for key in ("prompt_tokens", "total_tokens", "completion_tokens")}
        thought = usage["completion_tokens_details"]["reasoning_tokens"]
        return {**short, "prompt_tokens_details": None, "reasoning_tokens": thought}

    def message(self, reply: Reply) -> Json:
        message = {"role": "assistant", "content": reply.text("content"), "reasoning_content": None, "tool_calls": None}
        return self.with_extras(message, reply)

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        whole = super().whole(answer, replies, finishes)
        for choice in whole["choices"]:
            choice["matched_stop"] = None
        return {key: whole[key] for key in ("id", "object", "created", "model", "choices", "usage")}

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
        kind = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
        named = kind.get(status, "InternalServerError")
        return {"object": "error", "message": message, "type": named, "param": param, "code": status}

    def error_event(self, status: int, message: str) -> Json:
        return {"error": self.error(status, message)}

    def no_route(self) -> Page:
        return {"detail": "Not Found"}

    def models(self, site: Site) -> Json:
        entry = {"id": site.model, "object": "model", "created": site.created, "owned_by": "sglang"}
        return {"object": "list", "data": [{**entry, "root": site.model, "max_model_len": site.context}]}

    def page(self, path: str, query: str, site: Site) -> tuple[int, Page] | None:
        if path == "/metrics":
            return 200, _metrics(site)
        if path == "/v1/loads":
            return 200, _loads(site)
        if path == "/get_load":
            batch = site.engine.batch
            counts = {"num_reqs": batch.running + batch.waiting, "num_waiting_reqs": batch.waiting}
            return 200, [{"dp_rank": 0, **counts, "num_tokens": batch.kv_used}]
        if path in ("/get_server_info", "/server_info"):
            return 200, _server_info(site)
        return super().page(path, query, site)


def _server_info(site: Site) -> Json:
    profile = site.engine.profile
    return {
        "model_path": site.model,
        "served_model_name": site.model,
        "context_length": site.context,
        "chunked_prefill_size": profile.chunk,
        "max_running_requests": profile.max_num_seqs,
        "max_queued_requests": site.fence,
        "max_total_num_tokens": profile.kv_tokens,
        "version": VERSION,
    }


def _loads(site: Site) -> Json:
    profile, batch = site.engine.profile, site.engine.batch
    rank = {
        "dp_rank": 0,
        "num_running_reqs": batch.running,
        "num_waiting_reqs": batch.waiting,
        "num_used_tokens": batch.kv_used,
        "num_total_tokens": batch.kv_used,
        "max_total_num_tokens": profile.kv_tokens,
        "token_usage": batch.kv_used / profile.kv_tokens,
        "max_running_requests": profile.max_num_seqs,
    }
    total = {"total_running_reqs": batch.running, "total_waiting_reqs": batch.waiting, "total_tokens": batch.kv_used}
    return {"version": VERSION, "dp_rank_count": 1, "loads": [rank], "aggregate": total}


def _metrics(site: Site) -> bytes:
    profile, batch = site.engine.profile, site.engine.batch
    page = Exposition(engine_type="unified", model_name=site.model, pp_rank="0", tp_rank="0")
    page.gauge("sglang:num_running_reqs", float(batch.running))
    page.gauge("sglang:num_queue_reqs", float(batch.waiting))
    page.gauge("sglang:num_used_tokens", float(batch.kv_used))
    page.gauge("sglang:token_usage", batch.kv_used / profile.kv_tokens)
    page.gauge("sglang:max_total_num_tokens", float(profile.kv_tokens))
    page.gauge("sglang:cache_hit_rate", 0.0)
    page.counter("sglang:prompt_tokens_total", float(batch.prefilled_tokens))
    page.counter("sglang:generation_tokens_total", float(batch.generated_tokens))
    page.histogram("sglang:time_to_first_token_seconds", site.engine.first_token_seconds)
    page.histogram("sglang:inter_token_latency_seconds", site.engine.inter_token_seconds)
    return page.text()
