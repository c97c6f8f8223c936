"""The types of single values: what the program holds, annotated with the form in which the file writes it."""

from __future__ import annotations

from typing import Annotated, Literal

from penstock.config import address, network, origin, texts, units
from penstock.config.containers import Nullable
from penstock.config.scalars import Number, NumberOrWord, Text, Words
from penstock.config.secret import REDACTED, Secret
from penstock.config.workers import auto_workers

# Who may connect to a Unix socket: its owner alone.
DEFAULT_MODE = 0o600

_DURATION = Text(
    units.parse_duration, units.format_duration, {"pattern": units.DURATION_PATTERN}, units.DURATION_EXAMPLES, "s"
)
_TIMEOUT = Text(
    texts.read_timeout, units.format_duration, {"pattern": texts.TIMEOUT_PATTERN}, units.DURATION_EXAMPLES, "s"
)
_SIZE = Text(texts.read_size, units.format_size, {"pattern": texts.SIZE_PATTERN}, units.SIZE_EXAMPLES, "B")
_SHARE = Text(units.parse_share, units.format_share, {"pattern": units.SHARE_PATTERN}, units.SHARE_EXAMPLES)
# A string, because YAML 1.2 reads 0660 as six hundred and sixty.
_MODE = Text(texts.read_mode, texts.format_mode, {"pattern": texts.MODE_PATTERN}, texts.MODE_EXAMPLE)

# Seconds. A timeout is more than 0s, which would fail every request.
Duration = Annotated[float, _DURATION]
Timeout = Annotated[float, _TIMEOUT]
# Bytes.
Size = Annotated[int, _SIZE]
# A fraction of 1.
Share = Annotated[float, _SHARE]
# The permissions of a file; null is the default.
Mode = Annotated[int, Nullable(_MODE, DEFAULT_MODE)]

Concurrency = Annotated[int, Number(0, 1_000_000)]
Count = Annotated[int, Number(1, 2**31 - 1)]
CountOrNone = Annotated[int, Number(0, 2**31 - 1)]
Tokens = Annotated[int, Number(1, 2**53)]
TokenLimit = Annotated[int | Literal["auto"] | None, Nullable(NumberOrWord(Number(1, 2**53), Words(("auto",))))]
# Relative to others: a part or weight of 2 counts twice as much as one of 1.
Part = Annotated[int, Number(1, 1_000_000)]
Weight = Annotated[float, Number(0.001, 1000, real=True)]
Workers = Annotated[int, NumberOrWord(Number(1, 64), Words(("auto",), parse=lambda _: auto_workers()))]
Switch = Annotated[bool, Words(("off", "on"), lambda word: word == "on", lambda is_on: "on" if is_on else "off")]

Listen = Annotated[address.Address, Text(address.Address.parse, constraints={"minLength": 1})]
BackendUrl = Annotated[address.Url, Text(address.Url.parse, constraints={"pattern": address.URL_PATTERN})]
Network = Annotated[network.Network, Text(network.parse_network, constraints={"pattern": network.NETWORK_PATTERN})]
Origin = Annotated[str, Text(origin.parse_origin, constraints={"pattern": origin.ORIGIN_PATTERN})]
FilePath = Annotated[str, Text(texts.read_path, constraints={"minLength": 1})]

Name = Annotated[str, Text(texts.read_name, constraints={"pattern": texts.NAME_PATTERN})]
ModelName = Annotated[str, Text(texts.read_model, constraints={"minLength": 1, "maxLength": texts.MAX_MODEL_BYTES})]
DefaultName = Annotated[str, Text(texts.read_default, constraints={"not": {"enum": [*texts.REFUSED_DEFAULTS]}})]
ForcedName = Annotated[str, Text(texts.read_forced, constraints={"not": {"enum": [*texts.REFUSED_FORCED]}})]

# Names of header fields are held in lower case.
HeaderName = Annotated[str, Text(texts.read_client_header, constraints={"pattern": texts.HEADER_NAME_PATTERN})]
BackendHeader = Annotated[str, Text(texts.read_backend_header, constraints={"pattern": texts.HEADER_NAME_PATTERN})]
HeaderValue = Annotated[
    Secret, Text(texts.read_header_value, lambda _: REDACTED, {"pattern": texts.HEADER_VALUE_PATTERN})
]
Token = Annotated[Secret, Text(texts.read_token, lambda _: REDACTED, {"pattern": texts.TOKEN_PATTERN})]
