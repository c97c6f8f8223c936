"""The shapes of llama.cpp's server, build b11549, after its recordings."""

# ruff: noqa: D102  -- the base class says what each method returns
from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sim.dialects.openai import Dialect
from penstock.sim.exposition import Exposition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sim.dialects.openai import Answer, Json, Page, Site
    from penstock.sim.script import Reply

__all__ = ["LlamaCpp"]

BUILD = "b11549-7c05d9ae"


class LlamaCpp(Dialect):
    """llama.cpp's server: short objects with ``choices`` first, timings at the end, any model name."""

    name = "llamacpp"
    headers = ("Server: llama.cpp", "Access-Control-Allow-Origin: ")
    sends_date = False
    json_type = "application/json; charset=utf-8"
    stream_type = "text/event-stream"
    joins_events = True
    requests_per_connection = 100
    checks_model = False
    fingerprint = BUILD
    named_finish = "tool_calls"
    first_content = None

    def answer_id(self, answer: Answer) -> str:
        return f"chatcmpl-{answer.seed}"

    def call_id(self, reply: Reply) -> str:
        return f"{reply.call_id}{reply.call_id}"

    def choice(self, index: int, delta: Json, finish: str | None) -> Json:
        return {"finish_reason": finish, "index": index, "delta": delta}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        return {
            "choices": choices,
            "created": answer.created,
            "id": self.answer_id(answer),
            "model": answer.model,
            "system_fingerprint": self.fingerprint,
            "object": "chat.completion.chunk",
        }

    def finish_chunk(self, answer: Answer, choice: Json) -> Json:
        chunk = self.chunk(answer, [choice])
        return chunk if answer.wants_usage else {**chunk, "timings": self.timings(answer)}

    def usage_chunk(self, answer: Answer, usage: Json) -> Json:
        return {**self.chunk(answer, []), "usage": usage, "timings": self.timings(answer)}

    def timings(self, answer: Answer) -> Json:
        """Return llama.cpp's own measurements."""
        return {
            "cache_n": 0,
            "prompt_n": answer.prompt_tokens,
            "prompt_ms": answer.prompt_ms,
            "predicted_n": answer.output_tokens,
            "predicted_ms": answer.predicted_ms,
        }

    def usage(self, answer: Answer, replies: Sequence[Reply]) -> Json:
        usage = super().usage(answer, replies)
        return {
            "completion_tokens": usage["completion_tokens"],
            "prompt_tokens": usage["prompt_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def message(self, reply: Reply) -> Json:
        return self.with_extras({"role": "assistant", "content": reply.text("content")}, reply)

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        return {
            "choices": [
                {"finish_reason": finish, "index": index, "message": self.message(reply)}
                for index, (reply, finish) in enumerate(zip(replies, finishes, strict=True))
            ],
            "created": answer.created,
            "model": answer.model,
            "system_fingerprint": self.fingerprint,
            "object": "chat.completion",
            "usage": self.usage(answer, replies),
            "id": self.answer_id(answer),
            "timings": self.timings(answer),
        }

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
        kind = {404: "not_found_error", 503: "unavailable_error"}.get(status)
        kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        return {"error": {"code": status, "message": message, "type": kind}}

    def too_long(self, tokens: int, context: int) -> tuple[int, str, Json]:
        text = f"request ({tokens} tokens) exceeds the available context size ({context} tokens)"
        error = {"code": 400, "message": text, "type": "exceed_context_size_error"}
        return 400, text, {"error": {**error, "n_prompt_tokens": tokens, "n_ctx": context}}

    def models(self, site: Site) -> Json:
        entry = {"id": site.model, "aliases": [site.model], "tags": [], "object": "model", "created": site.created}
        entry |= {"owned_by": "llamacpp", "meta": {"n_ctx": site.context, "n_ctx_train": site.context}}
        listed = {"name": site.model, "model": site.model, "type": "model"}
        return {"models": [listed], "object": "list", "data": [entry]}

    def page(self, path: str, query: str, site: Site) -> tuple[int, Page] | None:
        slots, busy = site.engine.profile.max_num_seqs, site.engine.batch.running
        if path == "/health":
            return 200, {"status": "ok"}
        if path == "/metrics":
            return 200, _metrics(site)
        if path == "/props":
            settings = {"params": {}, "n_ctx": site.context}
            about = {"model_alias": site.model, "endpoint_slots": True, "endpoint_metrics": True, "is_sleeping": False}
            return 200, {"default_generation_settings": settings, "total_slots": slots, **about, "build_info": BUILD}
        if path == "/slots":
            if "fail_on_no_slot=1" in query.split("&") and busy >= slots:
                return 503, self.error(503, "no slot available")
            fixed = {"n_ctx": site.context, "speculative": False}
            return 200, [{"id": slot, **fixed, "is_processing": slot < busy} for slot in range(slots)]
        return super().page(path, query, site)


def _metrics(site: Site) -> bytes:
    batch = site.engine.batch
    page = Exposition()
    page.counter("llamacpp:prompt_tokens_total", batch.prefilled_tokens)
    page.counter("llamacpp:tokens_predicted_total", batch.generated_tokens)
    page.counter("llamacpp:n_decode_total", batch.steps)
    page.gauge("llamacpp:requests_processing", batch.running)
    page.gauge("llamacpp:requests_deferred", batch.waiting)
    page.gauge("llamacpp:n_busy_slots_per_decode", batch.generated_tokens / max(1, batch.steps))
    return page.text()
