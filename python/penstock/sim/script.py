"""What the simulated model says: a function of the seed and the request, one word a token."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from penstock.sim.arguments import value_for
from penstock.sim.request import ToolChoice

if TYPE_CHECKING:
    from penstock.sim.request import ChatRequest, Message, Tool

__all__ = ["Piece", "Reply", "plan"]

SENTENCES = (
    "The gate opens slowly and the water finds its way.",
    "Below the dam the turbine turns at the speed that suits it.",
    "A full reservoir is worth little when the channel is narrow.",
    "Nobody downstream should feel how hard it rained upstream.",
    "When the pressure rises the keeper counts before she acts.",
    "Every bucket that enters the wheel must leave it again.",
    "The shortest queue is the one that stands outside the mill.",
    "In spring the meltwater comes at noon and the night is quiet.",
    "One leaking valve costs more than ten closed ones.",
    "He measured the flow twice and wrote down the smaller number.",
)
THOUGHTS = (
    "The question is short, so the answer can be short too.",
    "First see what is known, then see what is missing.",
    "Two readings are possible; the plain one is more likely.",
    "That is enough to answer.",
)
NATURAL_WORDS = (20, 120)
"""The range of an answer's words when the request does not say how many."""
WORDS_WANTED = re.compile(r"\b(\d{1,6}) words\b")


class Piece(NamedTuple):
    """One token of the answer, as it is streamed. A tuple, because a long answer has thousands."""

    kind: Literal["reasoning", "content", "call", "arguments"]
    """A ``call`` opens the tool call and carries its name; ``arguments`` continue it."""
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice, whole. The number of pieces is its number of output tokens."""

    pieces: tuple[Piece, ...]
    finish: Literal["stop", "length", "tool_calls"]
    call_id: str | None
    """Raw material for the id of the tool call (16 hex digits); None if the answer is text."""

    def text(self, kind: str) -> str:
        """Return all text of one kind."""
        return "".join(piece.text for piece in self.pieces if piece.kind == kind)


def plan(request: ChatRequest, choice: int, seed: int, room: int, *, reasoning: bool) -> Reply:
    """Return the answer number `choice`, at most `room` tokens long: the same for the same request and seed.

    With tools, and unless ``tool_choice`` is none, the model calls the named tool, or the first, with arguments that
    fit its schema; when the last message is a tool's result it quotes it. A last message that asks for "250 words" gets
    so many; ``ignore_eos`` gets as many as the cap allows.
    """
    source = hashlib.blake2b(msgspec.json.encode([seed, choice, request.seed, request.messages]), digest_size=8)
    rng = random.Random(source.digest())
    pieces = _pieces("reasoning", " ".join(THOUGHTS[: rng.randint(1, len(THOUGHTS))])) if reasoning else []
    limit = room if request.output_limit is None else min(room, request.output_limit)
    tool = _tool_to_call(request)
    if tool is not None:
        arguments = json.dumps(value_for(tool.function.parameters or {"type": "object"}))
        pieces.append(Piece("call", tool.function.name))
        pieces += _pieces("arguments", arguments)
    else:
        pieces += _pieces("content", _text(request, rng, limit))
        pieces, stopped = _until_stop(pieces, request.stop)
        if stopped and len(pieces) <= limit:
            return Reply(tuple(pieces), "stop", None)
    cut = pieces[:limit]
    call_id = f"{rng.getrandbits(64):016x}" if any(piece.kind == "call" for piece in cut) else None
    if len(cut) < len(pieces):
        return Reply(tuple(cut), "length", call_id)
    return Reply(tuple(cut), "stop" if tool is None else "tool_calls", call_id)


def _tool_to_call(request: ChatRequest) -> Tool | None:
    if not request.tools or request.tool_choice == "none" or request.messages[-1].role == "tool":
        return None
    if isinstance(request.tool_choice, ToolChoice):
        wanted = request.tool_choice.function.name
        return next(tool for tool in request.tools if tool.function.name == wanted)
    return request.tools[0]


def _text(request: ChatRequest, rng: random.Random, limit: int) -> str:
    last = request.messages[-1]
    if last.role == "tool":
        return f"The tool {_name_of_call(request, last)} answered: {last.text()} That is all it said."
    asked = WORDS_WANTED.search(last.text())
    words = int(asked[1]) if asked else rng.randint(*NATURAL_WORDS)
    if request.ignore_eos:
        words = limit + 1
    said: list[str] = []
    while len(said) < min(words, limit + 1):
        said += rng.choice(SENTENCES).split()
    return " ".join(said[:words])


def _name_of_call(request: ChatRequest, result: Message) -> str:
    calls = (call for message in request.messages for call in message.tool_calls or ())
    return next((call.function.name for call in calls if call.id == result.tool_call_id), "without a name")


def _pieces(kind: Literal["reasoning", "content", "arguments"], text: str) -> list[Piece]:
    """Cut text into words; the white space before a word belongs to it, so that the pieces join to the text."""
    return [Piece(kind, word) for word in re.findall(r"\s*\S+|\s+$", text)]


def _until_stop(pieces: list[Piece], stop: str | list[str] | None) -> tuple[list[Piece], bool]:
    """Cut the content before the first stop string; also says whether there was one."""
    strings = [stop] if isinstance(stop, str) else stop or []
    content = "".join(piece.text for piece in pieces if piece.kind == "content")
    found = [at for at in (content.find(string) for string in strings if string) if at >= 0]
    if not found:
        return pieces, False
    before = [piece for piece in pieces if piece.kind != "content"]
    return before + _pieces("content", content[: min(found)]), True
