"""The shapes of TGI's router 3.3.6, after its recordings."""

# ruff: noqa: D102  -- the base class says what each method returns
from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sim.dialects.openai import Dialect
from penstock.sim.exposition import Exposition
from penstock.sim.fence import Fence, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sim.dialects.openai import Answer, Json, Page, Site
    from penstock.sim.script import Piece, Reply

__all__ = ["Tgi"]

VERSION = "3.3.6-dev0"
KINDS = {422: "validation", 424: "generation", 429: "overloaded"}


class Tgi(Dialect):
    """TGI: no ids, the role on every chunk, tool calls without a finish_reason, errors inside streams that are 200."""

    name = "tgi"
    headers = (
        "vary: origin, access-control-request-method, access-control-request-headers",
        "access-control-allow-origin: *",
    )
    stream_type = "text/event-stream"
    early_head = True
    checks_model = False
    echoes_model = True
    answers_n = False
    done_after_error = True
    fingerprint = f"{VERSION}-native"
    fence = Fence.IN_FLIGHT
    fence_default = 128
    refusal = Refusal.EVENT
    overload = (429, "Model is overloaded")

    def answer_id(self, answer: Answer) -> str:
        return ""

    def finish(self, reply: Reply, *, named: bool) -> str:
        return "length" if reply.finish == "length" else "stop"

    def delta(self, piece: Piece, reply: Reply) -> Json:
        if piece.kind in ("call", "arguments"):
            name, arguments = (piece.text, "") if piece.kind == "call" else (None, piece.text)
            function = {"name": name, "arguments": arguments}
            call = {"index": 0, "id": "0", "type": "function", "function": function}
            return {"role": "assistant", "tool_calls": [call]}
        return {"role": "assistant", "content": piece.text}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        return {
            "object": "chat.completion.chunk",
            "id": "",
            "created": answer.created,
            "model": answer.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            "usage": None,
        }

    def step(self, answer: Answer, index: int, reply: Reply, at: int, finish: str) -> list[Json]:
        last = at >= len(reply.pieces) - 1
        cut = last and finish == "length"
        chunks = []
        if at < len(reply.pieces):
            delta = self.delta(reply.pieces[at], reply)
            chunks.append(self.chunk(answer, [self.choice(index, delta, finish if cut else None)]))
        # The end of a tool call is swallowed: nothing but [DONE] follows it.
        if last and not cut and reply.call_id is None:
            delta = {"role": "assistant", "content": ""}
            chunks.append(self.chunk(answer, [self.choice(index, delta, finish)]))
        return chunks

    def usage(self, answer: Answer, replies: Sequence[Reply]) -> Json:
        usage = super().usage(answer, replies)
        return {key: usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}

    def message(self, reply: Reply) -> Json:
        if reply.call_id is None:
            # There is no parser for thoughts: they are part of the text.
            return {"role": "assistant", "content": reply.text("reasoning") + reply.text("content")}
        function = {"description": None, "name": reply.text("call"), "arguments": reply.text("arguments")}
        return {"role": "assistant", "tool_calls": [{"id": "0", "type": "function", "function": function}]}

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        whole = super().whole(answer, replies, finishes)
        order = ("object", "id", "created", "model", "system_fingerprint", "choices", "usage")
        return {key: whole[key] for key in order}

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
        return {"error": message, "error_type": KINDS.get(status, "generation")}

    def error_event(self, status: int, message: str) -> Json:
        return {"error": {"message": message, "http_status_code": 422}}

    def invalid(self, message: str, param: str | None) -> tuple[int, Page]:
        return 422, f"Failed to deserialize the JSON body into the target type: {message}".encode()

    def too_long(self, tokens: int, context: int) -> tuple[int, str, Json]:
        text = f"Input validation error: `inputs` must have less than {context} tokens. Given: {tokens}"
        return 422, text, self.error(422, text)

    def no_route(self) -> Page:
        return b""

    def models(self, site: Site) -> Json:
        return {"object": "list", "data": [{"id": site.model, "object": "model", "created": 0, "owned_by": site.model}]}

    def page(self, path: str, query: str, site: Site) -> tuple[int, Page] | None:
        if path == "/metrics":
            return 200, _metrics(site)
        return (200, _info(site)) if path == "/info" else super().page(path, query, site)


def _info(site: Site) -> Json:
    return {
        "model_id": site.model,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": site.fence,
        "max_input_tokens": site.context - 1,
        "max_total_tokens": site.context,
        # Only builds before version 3 tell this one.
        "max_batch_total_tokens": site.engine.profile.kv_tokens,
        "router": "text-generation-router",
        "version": VERSION,
    }


def _metrics(site: Site) -> bytes:
    batch = site.engine.batch
    page = Exposition()
    page.gauge("tgi_queue_size", batch.waiting)
    page.gauge("tgi_batch_current_size", batch.running)
    page.gauge("tgi_batch_current_max_tokens", batch.kv_used)
    page.counter("tgi_request_count", site.engine.stats.started)
    page.counter("tgi_request_success", site.engine.stats.finished)
    page.histogram("tgi_request_queue_duration", site.engine.queue_seconds)
    page.histogram("tgi_request_mean_time_per_token_duration", site.engine.inter_token_seconds)
    return page.text()
