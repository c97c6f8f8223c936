"""The chat request as the engine sees it. An explicit null is the same as an absent field."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

__all__ = ["ChatRequest", "InvalidRequestError", "Message", "Tool", "check_sampling", "decode", "read_chat"]


class InvalidRequestError(Exception):
    """A request that no dialect accepts. `param` names the field, None where the body is no JSON at all."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class ContentPart(msgspec.Struct):
    """One part of a message in parts; only text is read."""

    type: str
    text: str | None = None


class CalledFunction(msgspec.Struct):
    """The function of an earlier tool call."""

    name: str = ""
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A tool call in the history."""

    id: str = ""
    function: CalledFunction = msgspec.field(default_factory=CalledFunction)


class Message(msgspec.Struct):
    """One message of the conversation."""

    role: str
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def text(self) -> str:
        """Return the text of all parts."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class Function(msgspec.Struct):
    """What a tool is called and takes; `parameters` is a JSON Schema."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    """A tool that the model may call."""

    function: Function
    type: str = "function"


class ChosenFunction(msgspec.Struct):
    """The name in a named ``tool_choice``."""

    name: str


class ToolChoice(msgspec.Struct):
    """A named ``tool_choice``."""

    function: ChosenFunction


class StreamOptions(msgspec.Struct):
    """Options of a stream."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The body of ``POST /v1/chat/completions``; unknown fields are ignored, as vLLM and llama.cpp do."""

    messages: list[Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    ignore_eos: bool | None = None
    priority: int | None = None

    @property
    def width(self) -> int:
        """How many answers are wanted of one prompt."""
        return self.n or 1

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.width

    @property
    def output_limit(self) -> int | None:
        """The cap on output tokens; the newer name wins."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def prompt_tokens(self) -> int:
        """Return the size of the prompt: four bytes a token, and four tokens a message for the template."""
        size = sum(len(msgspec.json.encode(tool)) for tool in self.tools or ())
        size += sum(len(message.text().encode()) for message in self.messages)
        size += sum(len(call.function.arguments) for message in self.messages for call in message.tool_calls or ())
        return -(-size // 4) + 4 * len(self.messages)


R = TypeVar("R", bound=msgspec.Struct)


def decode(kind: type[R], body: bytes) -> R:
    """Return the body as a request of this kind. Raises InvalidRequestError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error), _param_of(str(error))) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}", None) from error


def read_chat(body: bytes) -> ChatRequest:
    """Return the checked request. Raises InvalidRequestError."""
    request = decode(ChatRequest, body)
    if not request.messages:
        raise InvalidRequestError("messages must not be empty", "messages")
    check_sampling(request)
    if isinstance(request.tool_choice, ToolChoice):
        wanted = request.tool_choice.function.name
        if wanted not in {tool.function.name for tool in request.tools or ()}:
            raise InvalidRequestError(f"tool_choice names {wanted!r}, which is not among the tools", "tool_choice")
    return request


def check_sampling(request: ChatRequest) -> None:
    """Check the numbers of a request. Raises InvalidRequestError."""
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise InvalidRequestError(f"{name} must be at least 1, got {value}", name)
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise InvalidRequestError(f"temperature must be between 0 and 2, got {request.temperature}", "temperature")


def _param_of(message: str) -> str | None:
    """Return the field of a msgspec message: "… - at `$.a[0].b`" or "… missing required field `a`"."""
    if "missing required field `" in message and "`$" not in message:
        return message.split("missing required field `", 1)[1].split("`", 1)[0]
    if "`$." in message:
        return message.rsplit("`$.", 1)[1].split("`", 1)[0].split("[", 1)[0]
    return None
