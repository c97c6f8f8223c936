"""The bodies of recorded pages (tests/recordings/*/pages), and pages of the same form with other numbers."""

from pathlib import Path

RECORDINGS = Path(__file__).parents[2] / "recordings"


def page(server: str, name: str) -> bytes:
    """Return the body of a recorded answer."""
    return _parts(server, name)[1]


def status(server: str, name: str) -> int:
    """Return the status of a recorded answer."""
    return int(_parts(server, name)[0].split(b" ")[1])


def changed(body: bytes, **values: float) -> bytes:
    """Put other numbers into a metrics page: the samples whose name ends with a key, whatever their labels."""
    lines = body.split(b"\n")
    for name, value in values.items():
        ends = name.encode()
        found = [at for at, line in enumerate(lines) if line.partition(b"{")[0].partition(b" ")[0].endswith(ends)]
        assert found, name
        for at in found:
            lines[at] = lines[at].rpartition(b" ")[0] + b" %g" % value
    return b"\n".join(lines)


def _parts(server: str, name: str) -> tuple[bytes, bytes]:
    head, _, body = (RECORDINGS / server / "pages" / f"get-{name}.raw").read_bytes().partition(b"\r\n\r\n")
    return head, body
