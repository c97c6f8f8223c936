"""The keys of a backend. ``settings`` has the whole tree, and says how a key is added."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from penstock.config.section import Key, Later, Section
from penstock.config.values import (
    BackendHeader,
    BackendUrl,
    Concurrency,
    Duration,
    FilePath,
    HeaderValue,
    ModelName,
    Name,
    Token,
    TokenLimit,
    Weight,
)

Dialect = Annotated[
    Literal["llamacpp", "openai", "vllm"],
    Later("auto", "lmdeploy", "lmstudio", "ollama", "sglang", "tgi", "transformers", "trtllm"),
]


class BackendTls(Section, frozen=True):
    """TLS towards an https backend; paths of PEM files."""

    ca: Annotated[FilePath | None, Key("Authorities to trust; absent: the system's")] = None
    cert: Annotated[FilePath | None, Key("Client certificate")] = None
    key: Annotated[FilePath | None, Key("Key of the client certificate")] = None


class Backend(Section, frozen=True):
    """One model server.

    An aborted request counts as running for at least ``abort_hold``, as some servers close the connection before their
    engine has stopped, and for at most ``abort_grace``. ``stream_whole`` is for servers that notice only while they
    stream that a client has left. What of these and ``keep_alive`` is absent comes from the family's file
    (``dialect``), in rust/core/src/profile/families.
    """

    LATER: ClassVar = ("context", "health", "tokenizer")

    name: str
    url: Annotated[BackendUrl, Key("Root of its API: http://host:port, https:// or unix:/path", routed=False)]
    concurrency: Annotated[Concurrency, Key("Requests running at once; 0: drained on purpose")]
    dialect: Annotated[Dialect, Key("Family of the server; openai: any that speaks OpenAI's API")] = "openai"
    prefill_tokens: Annotated[TokenLimit, Key("Uncached prompt tokens in flight; auto: learned; null: no limit")] = None
    kv_tokens: Annotated[TokenLimit, Key("Reserved tokens of KV memory; auto: by the engine; null: no limit")] = None
    weight: Annotated[Weight, Key("What it gets beside other backends of the same speed")] = 1.0
    serves: Annotated[ModelName | None, Key("The model name it knows; absent: found by a probe")] = None
    node: Annotated[Name | None, Key("The GPU machine it runs on, one of nodes")] = None
    keep_alive: Annotated[Duration | None, Key("How long an idle connection is kept")] = None
    abort_grace: Annotated[Duration | None, Key("How long an aborted request counts at most")] = None
    abort_hold: Annotated[Duration | None, Key("How long it counts at least: the engine stops after the close")] = None
    stream_whole: Annotated[bool | None, Key("Ask for whole answers as streams")] = None
    api_key: Annotated[Token | None, Key("Sent as Authorization: Bearer", routed=False)] = None
    headers: Annotated[dict[BackendHeader, HeaderValue], Key("Sent with every request", routed=False)] = {}
    tls: Annotated[BackendTls | None, Key("TLS files; only with https", routed=False)] = None

    @property
    def request_headers(self) -> tuple[tuple[str, str], ...]:
        """Name, in lower case, and value of what the file adds to every request to it: ``headers`` and ``api_key``."""
        bearer = () if self.api_key is None else (("authorization", f"Bearer {self.api_key}"),)
        return (*self.headers.items(), *bearer)
