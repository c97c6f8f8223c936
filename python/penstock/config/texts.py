"""How the strings of the file are read: names, headers, secrets. Each reader raises ValueError for its author."""

from __future__ import annotations

import re

from penstock.config import units
from penstock.config.secret import Secret

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
# `token` of RFC 9110 §5.6.2.
HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
# `field-value` of RFC 9110 §5.5 without obs-text, which has no agreed encoding.
HEADER_VALUE_PATTERN = r"^([!-~]([\t -~]*[!-~])?)?$"
TOKEN_PATTERN = r"^[!-~]+$"

# Octal digits for owner, group and others, as chmod takes them.
MODE_PATTERN = r"^0?[0-7]{3}$"
MODE_EXAMPLE = 'octal permissions in quotes, such as "0660"'

MAX_MODEL_BYTES = 256

# With a digit that is not 0.
TIMEOUT_PATTERN = r"^(?=.*[1-9])" + units.DURATION_PATTERN.removeprefix("^")
SIZE_PATTERN = r"^(?=.*[1-9])" + units.SIZE_PATTERN.removeprefix("^")

# The gateway sets these itself. A forced stream_options could hide the usage that it counts.
REFUSED_DEFAULTS = ("model", "messages", "prompt", "input", "stream")
REFUSED_FORCED = (*REFUSED_DEFAULTS, "stream_options")

# The parameters that the endpoints of the Rust core know by name.
PARAMETERS = frozenset(
    {
        "best_of",
        "chat_template",
        "chat_template_kwargs",
        "dimensions",
        "echo",
        "encoding_format",
        "frequency_penalty",
        "input",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)

# Fields that say how to read a message. The fast path cannot look them up by a configured name.
_MESSAGE_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The gateway writes these itself, or they belong to a single connection (RFC 9110 §7.6.1).
_OWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)


def read_timeout(text: str) -> float:
    """Seconds, more than none: a timeout of 0s would fail every request."""
    seconds = units.parse_duration(text)
    if seconds == 0:
        raise ValueError("must be more than 0s")
    return seconds


def read_size(text: str) -> int:
    """Bytes, at least one."""
    size = units.parse_size(text)
    if size == 0:
        raise ValueError("must be more than 0B")
    return size


def read_name(text: str) -> str:
    """The name of a tier, backend or node: it becomes a metric label, a header value and a part of a path."""
    if re.fullmatch(NAME_PATTERN, text) is None:
        raise ValueError(f'"{text[:80]}" is not a name: 1 to 64 letters, digits, ".", "_" or "-"')
    return text


def read_model(text: str) -> str:
    """The name of a model, as clients or backends write it."""
    if not text:
        raise ValueError("a model name must not be empty")
    if not text.isprintable():
        raise ValueError("a model name holds only printable characters")
    if len(text.encode()) > MAX_MODEL_BYTES:
        raise ValueError(f"a model name is at most {MAX_MODEL_BYTES} bytes long")
    return text


def read_parameter(text: str) -> str:
    """The name of a parameter, in its usual case: some servers ignore case, so `N` would overrule a client's `n`."""
    known = text.casefold()
    if known in PARAMETERS and text != known:
        raise ValueError(f'"{text}" differs from "{known}" only in case')
    return text


def read_default(text: str) -> str:
    """The name of a parameter that may have a default."""
    return _read_allowed(text, REFUSED_DEFAULTS)


def read_forced(text: str) -> str:
    """The name of a parameter that may be forced."""
    return _read_allowed(text, REFUSED_FORCED)


def _read_allowed(text: str, refused: tuple[str, ...]) -> str:
    if text in refused:
        raise ValueError(f'"{text}" cannot be set here')
    return read_parameter(text)


def read_header_name(text: str) -> str:
    """The name, in lower case, of a header field."""
    if re.fullmatch(HEADER_NAME_PATTERN, text) is None:
        raise ValueError(f'"{text[:80]}" is not a header name')
    return text.lower()


def read_client_header(text: str) -> str:
    """The name, in lower case, of a header field in which clients or proxies name the tenant, priority or session."""
    name = read_header_name(text)
    if name in _MESSAGE_HEADERS:
        raise ValueError(f'the header "{text}" says how a message is read, not whose it is')
    return name


def read_backend_header(text: str) -> str:
    """The name, in lower case, of a header field that backends are sent."""
    name = read_header_name(text)
    if name in _OWN_HEADERS:
        raise ValueError(f'the header "{text}" is set by the gateway itself')
    return name


def read_header_value(text: str) -> Secret:
    """A header field value, which may be a credential; messages never show it."""
    if re.fullmatch(HEADER_VALUE_PATTERN, text) is None:
        raise ValueError("a header value holds only printable ASCII characters, and no space at its ends")
    return Secret(text)


def read_token(text: str) -> Secret:
    """A secret that travels in a header; messages never show it."""
    if not text:
        raise ValueError("must not be empty")
    if re.fullmatch(TOKEN_PATTERN, text) is None:
        raise ValueError("a key holds only visible ASCII characters: no spaces, no line breaks")
    return Secret(text)


def read_mode(text: str) -> int:
    """The permissions of a file, from its octal digits."""
    if re.fullmatch(MODE_PATTERN, text) is None:
        raise ValueError(f'expected {MODE_EXAMPLE}, got "{text}"')
    return int(text, 8)


def format_mode(mode: int) -> str:
    """The octal digits of permissions."""
    return f"{mode:04o}"


def read_path(text: str) -> str:
    """The path of a file on this machine, which may not be there yet."""
    if not text or "\0" in text:
        raise ValueError("expected the path of a file")
    return text
