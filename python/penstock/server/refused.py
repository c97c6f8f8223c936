"""The exception that ends the handling of a request with an error answer."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):  # noqa: N818 - it stands for an answer
    """An error answer. `closes`: the connection closes after it, and the rest of the request is not read."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: bytes = b"",
        retry_after_ms: int | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers
        self.retry_after_ms = retry_after_ms
        self.closes = closes
