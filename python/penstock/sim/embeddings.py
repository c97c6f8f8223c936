"""``POST /v1/embeddings``, in the shapes of OpenAI whatever the dialect: a vector for each text, made from its hash."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from penstock.sim.chat import fault_of
from penstock.sim.dialects import Dialect
from penstock.sim.faults import STATUSES
from penstock.sim.request import InvalidRequestError, decode
from penstock.sim.texts import Texts, texts_of, tokens_of

if TYPE_CHECKING:
    from penstock.sim.connection import Connection
    from penstock.sim.http import Request
    from penstock.sim.model import SimModel

__all__ = ["answer_embeddings"]

DIMENSIONS = 16
"""Of a vector, where nobody asks for another number."""
_DIALECT = Dialect()


class _EmbeddingRequest(msgspec.Struct):
    """The body; unknown fields are ignored."""

    input: Texts
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


async def answer_embeddings(model: SimModel, request: Request, wire: Connection) -> bool:
    """Answer; returns whether the connection may stay open."""
    try:
        asked = decode(_EmbeddingRequest, request.body)
        fault = fault_of(model, request)
        texts = texts_of(asked.input)
        if not texts:
            raise InvalidRequestError("input must not be empty", "input")
    except InvalidRequestError as error:
        return await wire.refuse(*_DIALECT.invalid(str(error), error.param))
    if asked.model not in (model.model, None):
        return await wire.refuse(404, _DIALECT.no_model(asked.model or "", model.model))
    if fault in STATUSES:
        status, message = STATUSES[fault]
        return await wire.refuse(status, _DIALECT.error(status, message))
    tokens = sum(map(tokens_of, texts))
    # A text is read and nothing is said: one step of the engine for each.
    generation = model.engine.submit(tokens, [1] * len(texts))
    wire.generation = generation
    try:
        await generation.tokens(1)
        generation.finish()
    finally:
        generation.abandon()
    items = [
        {"object": "embedding", "index": index, "embedding": _embedding(text, asked)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return await wire.respond(200, {"object": "list", "data": items, "model": model.model, "usage": usage})


def _embedding(text: str | list[int], asked: _EmbeddingRequest) -> Any:
    seed = hashlib.blake2b(msgspec.json.encode(text), digest_size=8).digest()
    rng = random.Random(seed)
    numbers = [rng.uniform(-1, 1) for _ in range(asked.dimensions or DIMENSIONS)]
    if asked.encoding_format == "base64":
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers
