"""Where Penstock listens and what it connects to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

# sockaddr_un holds 108 bytes on Linux, with the closing NUL.
_MAX_UNIX_PATH = 107
# Names inside a container network may hold an underscore.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
# Matches every URL that Url.parse accepts, and some that it refuses.
URL_PATTERN = r"^([hH][tT][tT][pP][sS]?://|unix:/)[^?#@\s]+$"
# The characters of RFC 3986 `path-abempty` less "@"; "%" only as part of an escape.
_URL_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+)*/?")


@dataclass(frozen=True)
class Address:
    """An address to listen on: a TCP ``host`` and ``port``, or the ``path`` of a Unix socket.

    ``host`` is an IP address without brackets, a name, or ``""`` for all interfaces; ``port`` 0 lets the system choose.
    """

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``127.0.0.1:8080``, ``[::1]:80``, ``localhost:80``, ``:8080`` or ``unix:/run/penstock.sock``.

        Raises:
            ValueError: with a message for the author of the file.
        """
        if text.startswith("unix:"):
            return cls(path=_unix_path(text))
        host, port = _split_host(text)
        if port is None:
            raise ValueError(f'expected host:port or unix:/path, got "{text}"')
        return cls(host=host, port=port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; a Unix socket counts, a name other than localhost does not."""
        if self.path is not None or self.host.removesuffix(".") == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True)
class Url:
    """The root of a model server's API. For ``unix``, ``path`` is the socket and ``host`` is ``localhost``.

    A final dot of ``host`` stays where the host is looked up and in ``Host``; in TLS the name has none (RFC 6066 §3).
    ``prefix`` is ``""`` or begins with ``/`` and does not end with one; request paths (``/v1/…``) are put after it.
    """

    scheme: Literal["http", "https", "unix"]
    host: str
    port: int
    prefix: str = ""
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read ``http://host:8000/v1`` and the like; one trailing ``/v1`` or ``/`` is stripped.

        Raises:
            ValueError: with a message for the author of the file, which never repeats a password from the URL.
        """
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("a URL holds only visible ASCII characters")
        if text.startswith("unix:"):
            return cls("unix", "localhost", 0, path=_unix_path(text))
        start = re.match(r"https?://", text, re.IGNORECASE)
        if start is None:
            raise ValueError("expected a URL that begins with http://, https:// or unix:/")
        rest = text[start.end() :]
        scheme: Literal["http", "https"] = "https" if start[0].lower() == "https://" else "http"
        cut = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
        authority, path = rest[:cut], rest[cut:]
        if "@" in rest:  # anywhere: a password may hold a "/"
            raise ValueError("a URL must not hold a user or password; use api_key or headers")
        if "?" in path or "#" in path:
            raise ValueError("a URL must not hold a query (?) or a fragment (#)")
        if _URL_PATH.fullmatch(path) is None:
            raise ValueError(f'"{path}" is not a valid path of a URL')
        host, port = _split_host(authority)
        if not host:
            raise ValueError("the URL has no host")
        if "%" in host:
            raise ValueError("a URL cannot hold an IPv6 zone")
        if port == 0:
            raise ValueError("a backend cannot have port 0")
        # Without this, "http://h/v1/" would send requests to "/v1/v1/chat/completions".
        prefix = re.sub(r"(/v1)?/?$", "", path, count=1)
        return cls(scheme, host.lower(), port or _default_port(scheme), prefix)

    @property
    def host_header(self) -> str:
        """The value of the ``Host`` field (RFC 9110 §7.2): the port only if it is not the scheme's own."""
        if self.scheme == "unix" or self.port == _default_port(self.scheme):
            return _bracketed(self.host)
        return f"{_bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.scheme == "unix" else f"{self.scheme}://{self.host_header}{self.prefix}"


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unix_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f'expected an absolute path such as unix:/run/penstock.sock, got "{text}"')
    if not path.isprintable():
        raise ValueError("the path of a Unix socket holds only printable characters")
    if len(path.encode()) > _MAX_UNIX_PATH:
        raise ValueError(f"the path of a Unix socket is at most {_MAX_UNIX_PATH} bytes long")
    return path


def _split_host(text: str) -> tuple[str, int | None]:
    """``host[:port]`` with IPv6 addresses in brackets; an empty host is left to the caller."""
    bracket = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", text)
    plain = re.fullmatch(r"([^:\[\]]*)(?::([0-9]{1,5}))?", text)
    if bracket:
        host, port = bracket.groups()
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f'"{host}" is not an IPv6 address') from None
        if not host.isascii() or not host.isprintable():
            raise ValueError("an IPv6 address holds only visible ASCII characters")
    elif plain:
        host, port = plain.groups()
        _check_host(host)
    else:
        raise ValueError(f'expected host:port, with an IPv6 address in brackets, got "{text}"')
    if port is not None and int(port) > 65535:
        raise ValueError(f"port {port} is above 65535")
    return host, None if port is None else int(port)


def _check_host(host: str) -> None:
    if not host:
        return
    # A final dot says that the name is absolute (RFC 1034 §3.1): no search domain is put after it.
    if _HOST_NAME.fullmatch(host.removesuffix(".")) is None:
        raise ValueError(f'"{host}" is not a host name or address')
    # A name whose last label is a number is an IPv4 address to every resolver (WHATWG URL §3.5).
    if host.removesuffix(".").rpartition(".")[2].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f'"{host}" is not an IPv4 address') from None
