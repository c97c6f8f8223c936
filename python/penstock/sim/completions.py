"""``POST /v1/completions``, in the shapes of OpenAI whatever the dialect: prompts read as if they were chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from penstock.sim.chat import answer_text
from penstock.sim.dialects import Dialect
from penstock.sim.request import ChatRequest, InvalidRequestError, Message, check_sampling, decode
from penstock.sim.texts import Texts, texts_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sim.connection import Connection
    from penstock.sim.dialects.openai import Answer, Json
    from penstock.sim.http import Request
    from penstock.sim.model import SimModel
    from penstock.sim.script import Piece, Reply

__all__ = ["answer_completion"]


class _CompletionRequest(ChatRequest):
    """The body; unknown fields are ignored."""

    messages: list[Message] = msgspec.field(default_factory=list)
    prompt: Texts = ""

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.width * len(self.messages)

    def prompt_tokens(self) -> int:
        """Return the size of all prompts."""
        return sum(map(tokens_of, texts_of(self.prompt)))


def _read(body: bytes) -> ChatRequest:
    request = decode(_CompletionRequest, body)
    texts = texts_of(request.prompt)
    if not texts:
        raise InvalidRequestError("prompt must not be empty", "prompt")
    check_sampling(request)
    request.messages = [Message(role="user", content=str(text)) for text in texts]
    return request


class _TextDialect(Dialect):
    """The same answers as texts, without roles."""

    def answer_id(self, answer: Answer) -> str:
        return f"cmpl-{answer.seed[:29]}"

    def delta(self, piece: Piece, reply: Reply) -> Json:
        del reply
        return {"text": piece.text}

    def choice(self, index: int, delta: Json, finish: str | None) -> Json:
        return {"index": index, "text": delta.get("text", ""), "logprobs": None, "finish_reason": finish}

    def chunk(self, answer: Answer, choices: list[Json]) -> Json:
        return {**super().chunk(answer, choices), "object": "text_completion"}

    def step(self, answer: Answer, index: int, reply: Reply, at: int, finish: str) -> list[Json]:
        chunks = super().step(answer, index, reply, at, finish)
        return chunks[1:] if at == 0 else chunks

    def whole(self, answer: Answer, replies: Sequence[Reply], finishes: Sequence[str | None]) -> Json:
        texts = ["".join(piece.text for piece in reply.pieces) for reply in replies]
        ends = enumerate(zip(texts, finishes, strict=True))
        choices = [self.choice(index, {"text": text}, finish) for index, (text, finish) in ends]
        return {**super().whole(answer, replies, finishes), "object": "text_completion", "choices": choices}


_DIALECT = _TextDialect()


async def answer_completion(model: SimModel, request: Request, wire: Connection) -> bool:
    """Answer; returns whether the connection may stay open."""
    return await answer_text(model, request, wire, _read, _DIALECT)
