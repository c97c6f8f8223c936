"""The forms of single values in the file, as types.

Each string type names the function that reads it (``Meta.extra["read"]``, raising ValueError), so that ``decode`` can
report every bad value in its place.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from penstock.config import texts, units
from penstock.config.address import Address, Url
from penstock.config.network import NETWORK_PATTERN, parse_network
from penstock.config.origin import ORIGIN_PATTERN, parse_origin

Duration = Annotated[
    str,
    Meta(
        pattern=units.DURATION_PATTERN,
        extra={"read": units.parse_duration, "expected": units.DURATION_EXAMPLES, "unit": "s"},
    ),
]
Timeout = Annotated[
    str,
    Meta(
        pattern=r"^(?=.*[1-9])" + units.DURATION_PATTERN.removeprefix("^"),
        extra={"read": texts.read_timeout, "expected": units.DURATION_EXAMPLES, "unit": "s"},
    ),
]
Size = Annotated[
    str,
    Meta(
        pattern=r"^(?=.*[1-9])" + units.SIZE_PATTERN.removeprefix("^"),
        extra={"read": texts.read_size, "expected": units.SIZE_EXAMPLES, "unit": "B"},
    ),
]
Share = Annotated[
    str,
    Meta(pattern=units.SHARE_PATTERN, extra={"read": units.parse_share, "expected": units.SHARE_EXAMPLES}),
]
Listen = Annotated[str, Meta(min_length=1, extra={"read": Address.parse})]
BackendUrl = Annotated[str, Meta(pattern=r"^([hH][tT][tT][pP][sS]?://|unix:/)[^?#@\s]+$", extra={"read": Url.parse})]
Name = Annotated[str, Meta(pattern=texts.NAME_PATTERN, extra={"read": texts.read_name})]
ModelName = Annotated[str, Meta(min_length=1, max_length=256, extra={"read": texts.read_model})]
ParameterName = Annotated[str, Meta(extra={"read": texts.read_parameter})]
# A string, because YAML 1.2 reads 0660 as six hundred and sixty.
Mode = Annotated[str, Meta(pattern=texts.MODE_PATTERN, extra={"read": texts.read_mode, "expected": texts.MODE_EXAMPLE})]
Network = Annotated[str, Meta(pattern=NETWORK_PATTERN, extra={"read": parse_network})]
Origin = Annotated[str, Meta(pattern=ORIGIN_PATTERN, extra={"read": parse_origin})]
HeaderName = Annotated[str, Meta(pattern=texts.HEADER_NAME_PATTERN, extra={"read": texts.read_client_header})]
BackendHeader = Annotated[str, Meta(pattern=texts.HEADER_NAME_PATTERN, extra={"read": texts.read_backend_header})]
HeaderValue = Annotated[str, Meta(pattern=texts.HEADER_VALUE_PATTERN, extra={"read": texts.read_header_value})]
Token = Annotated[str, Meta(pattern=texts.TOKEN_PATTERN, extra={"read": texts.read_token})]
FilePath = Annotated[str, Meta(min_length=1, extra={"read": texts.read_path})]
Concurrency = Annotated[int, Meta(ge=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Part = Annotated[int, Meta(ge=1, le=1_000_000)]
Tokens = Annotated[int, Meta(ge=1, le=2**53)]
