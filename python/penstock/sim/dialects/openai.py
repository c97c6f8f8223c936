"""The shapes of OpenAI itself, which the other dialects change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from penstock.sim.fence import Fence, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sim.engine import Engine
    from penstock.sim.script import Piece, Reply

__all__ = ["Answer", "Dialect", "Json", "Page", "Site"]

Json = dict[str, Any]
Page = Json | list[Json] | bytes
"""JSON, or plain text."""


@dataclass(frozen=True, slots=True)
class Site:
    """A server, as its own pages describe it."""

    model: str
    created: int
    """Unix seconds."""
    context: int
    """Tokens of prompt and answer together."""
    fence: int | None
    engine: Engine


@dataclass(slots=True)
class Answer:
    """What all parts of one answer have in common."""

    seed: str
    """32 hex digits, the raw material of its ids."""
    created: int
    """Unix seconds."""
    model: str
    wants_usage: bool
    prompt_tokens: int
    request_id: str
    """The request's ``x-request-id``, or empty."""
    output_tokens: int
    """Of all choices together."""
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0


class Dialect:
    """The shapes of OpenAI itself; the others say where they differ."""

    name: ClassVar[str] = "openai"
    headers: ClassVar[tuple[str, ...]] = ()
    sends_date: ClassVar[bool] = True
    json_type: ClassVar[str] = "application/json"
    stream_type: ClassVar[str] = "text/event-stream; charset=utf-8"
    early_head: ClassVar[bool] = False
    """The 200 of a stream is sent at once, not with the first token."""
    joins_events: ClassVar[bool] = False
    """Events that are ready together share one HTTP chunk."""
    requests_per_connection: ClassVar[int | None] = None
    checks_model: ClassVar[bool] = True
    """False: any model name is answered by the one model there is."""
    done_after_error: ClassVar[bool] = False
    fingerprint: ClassVar[str] = "fp_9c41d2e07b"
    reasoning_key: ClassVar[str] = "reasoning_content"
    named_finish: ClassVar[str] = "stop"
    """The finish_reason of a call that ``tool_choice`` had named (measured on OpenAI: vLLM PR 25054)."""
    finish_with_text: ClassVar[bool] = False
    """The chunk with the finish_reason also carries the last piece."""
    first_content: ClassVar[str | None] = ""
    echoes_model: ClassVar[bool] = False
    """The answer names the model that was asked for, whatever it is."""
    answers_n: ClassVar[bool] = True
    """False: `n` is ignored."""
    fence: ClassVar[Fence] = Fence.NONE
    fence_default: ClassVar[int | None] = None
    refusal: ClassVar[Refusal] = Refusal.STATUS
    overload: ClassVar[tuple[int, str]] = (429, "Rate limit reached.")
    """Status and message for requests beyond the engine's own limit."""

    def answer_id(self, answer: Answer) -> str:
        """Return the id that every chunk carries."""
        return f"chatcmpl-{answer.seed[:29]}"

    def call_id(self, reply: Reply) -> str:
        """Return the id of the tool call."""
        return f"call_{reply.call_id}"

    def finish(self, reply: Reply, *, named: bool) -> str:
        """Return the finish_reason; `named`: ``tool_choice`` named the function."""
        return self.named_finish if named and reply.finish == "tool_calls" else reply.finish

    def delta(self, piece: Piece, reply: Reply) -> Json:
        """Return the delta of one token."""
        if piece.kind == "content":
            return {"content": piece.text}
        if piece.kind == "reasoning":
            return {self.reasoning_key: piece.text}
        if piece.kind == "arguments":
            return {"tool_calls": [{"index": 0, "function": {"arguments": piece.text}}]}
        function = {"name": piece.text, "arguments": ""}
        return {"tool_calls": [{"index": 0, "id": self.call_id(reply), "type": "function", "function": function}]}

    def role_delta(self) -> Json:
        """Return the delta that opens a choice."""
        return {"role": "assistant", "content": self.first_content}

    def choice(self, index: int, delta: Json, finish: str | None) -> Json:
        """Return one entry of a chunk's ``choices``."""
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        """Return a chunk of the stream."""
        chunk = {
            "id": self.answer_id(answer),
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "service_tier": "default",
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }
        return {**chunk, "usage": None} if answer.wants_usage else chunk

    def role_chunk(self, answer: Answer, index: int) -> Json:
        """Return the chunk that opens a choice."""
        return self.chunk(answer, [self.choice(index, self.role_delta(), None)])

    def finish_chunk(self, answer: Answer, choice: Json) -> Json:
        """Return the chunk that ends a choice."""
        return self.chunk(answer, [choice])

    def usage_chunk(self, answer: Answer, usage: Json) -> Json:
        """Return the chunk after the last finish_reason, when usage was asked for."""
        return {**self.chunk(answer, []), "usage": usage}

    def step(self, answer: Answer, index: int, reply: Reply, at: int, finish: str) -> list[Json]:
        """Return the chunks of the token number `at` of a choice: its role before the first, its end after the last."""
        chunks = [self.role_chunk(answer, index)] if at == 0 else []
        pieces = reply.pieces
        last = at >= len(pieces) - 1
        delta = self.delta(pieces[at], reply) if at < len(pieces) else {}
        if delta and not (last and self.finish_with_text):
            chunks.append(self.chunk(answer, [self.choice(index, delta, None)]))
            delta = {}
        if last:
            chunks.append(self.finish_chunk(answer, self.choice(index, delta, finish)))
        return chunks

    def usage(self, answer: Answer, replies: Sequence[Reply]) -> Json:
        """Return the usage of all choices together."""
        output = sum(len(reply.pieces) for reply in replies)
        thought = sum(piece.kind == "reasoning" for reply in replies for piece in reply.pieces)
        return {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": output,
            "total_tokens": answer.prompt_tokens + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
        }

    def message(self, reply: Reply) -> Json:
        """Return the message of a whole answer."""
        message: Json = {"role": "assistant", "content": reply.text("content"), "refusal": None, "annotations": []}
        return self.with_extras(message, reply)

    def with_extras(self, message: Json, reply: Reply) -> Json:
        """Add the reasoning and the tool call, where the reply has them."""
        if thought := reply.text("reasoning"):
            message[self.reasoning_key] = thought
        if reply.call_id is not None:
            function = {"name": reply.text("call"), "arguments": reply.text("arguments")}
            message["tool_calls"] = [{"id": self.call_id(reply), "type": "function", "function": function}]
            message["content"] = reply.text("content") or None
        return message

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        """Return a whole answer; `finishes` holds the finish_reason of each reply."""
        return {
            "id": self.answer_id(answer),
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [
                {"index": index, "message": self.message(reply), "logprobs": None, "finish_reason": finish}
                for index, (reply, finish) in enumerate(zip(replies, finishes, strict=True))
            ],
            "usage": self.usage(answer, replies),
            "service_tier": "default",
            "system_fingerprint": self.fingerprint,
        }

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
        """Return the body of an error."""
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status)
        kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def error_event(self, status: int, message: str) -> Json:
        """Return the event that tells of an error in a stream."""
        return self.error(status, message)

    def invalid(self, message: str, param: str | None) -> tuple[int, Page]:
        """Return status and body for a request that cannot be read."""
        return 400, self.error(400, message, param)

    def too_long(self, tokens: int, context: int) -> tuple[int, str, Json]:
        """Return status, message and body for a prompt that does not fit."""
        text = f"The prompt has {tokens} tokens, more than this model's maximum context length of {context} tokens."
        return 400, text, self.error(400, text, "messages", "context_length_exceeded")

    def no_model(self, name: str, model: str) -> Json:
        """Return the body of the 404 for an unknown model."""
        return self.error(404, f"There is no model {name!r} here, only {model!r}.", "model", "model_not_found")

    def no_route(self) -> Page:
        """Return the body of the 404 for an unknown path."""
        return self.error(404, "There is nothing at this URL.", None, "unknown_url")

    def models(self, site: Site) -> Json:
        """Return the list of models."""
        entry = {"id": site.model, "object": "model", "created": site.created, "owned_by": "penstock-sim"}
        return {"object": "list", "data": [{**entry, "max_model_len": site.context}]}

    def page(self, path: str, query: str, site: Site) -> tuple[int, Page] | None:
        """Return status and body of what a GET shows; None: there is nothing."""
        if path == "/v1/models":
            return 200, self.models(site)
        return (200, b"") if path == "/health" else None
