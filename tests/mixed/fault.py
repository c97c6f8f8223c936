"""What a strict reader refuses, in words from which it can be mended."""

from __future__ import annotations

AROUND = 96


class Fault(AssertionError):  # noqa: N818 - the same word wherever one is met
    """Something that must not be, with the bytes around it where there are any."""

    def __init__(self, expected: str, data: bytes | bytearray = b"", at: int | None = None, offset: int = 0) -> None:
        """Say what was expected.

        `data[at]` is the first wrong byte; `offset` is where `data` begins on its connection.
        """
        super().__init__(expected if at is None else f"{expected}\n{excerpt(data, at, offset)}")


def excerpt(data: bytes | bytearray, at: int, offset: int = 0) -> str:
    """Return what is around a byte: before, and from it on."""
    before, behind = bytes(data[max(0, at - AROUND) : at]), bytes(data[at : at + AROUND])
    return f"    byte {offset + at}, behind {before!r}\n    there is   {behind!r}"
