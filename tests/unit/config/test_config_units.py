import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.config.address import Address, Url
from penstock.config.network import parse_network
from penstock.config.units import (
    MAX_BYTES,
    format_duration,
    format_share,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds", "back"),
    [
        ("0s", 0.0, "0s"),
        ("250ms", 0.25, "250ms"),
        ("0.1ms", 0.0001, "0.1ms"),
        ("2s", 2.0, "2s"),
        ("2.5s", 2.5, "2.5s"),
        ("1.5m", 90.0, "90s"),
        ("120s", 120.0, "2m"),
        ("1h", 3600.0, "1h"),
        ("1800s", 1800.0, "30m"),
    ],
)
def test_durations(text: str, seconds: float, back: str) -> None:
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == back


@pytest.mark.parametrize(
    ("text", "size", "back"),
    [
        ("512B", 512, "512B"),
        ("16KiB", 16384, "16KiB"),
        ("8MiB", 8388608, "8MiB"),
        ("1.5MiB", 1572864, "1536KiB"),
        ("1GiB", 2**30, "1GiB"),
        ("10MB", 10_000_000, "10MB"),
        ("1KB", 1000, "1KB"),
        ("2GB", 2_000_000_000, "2GB"),
    ],
)
def test_sizes(text: str, size: int, back: str) -> None:
    assert parse_size(text) == size
    assert format_size(size) == back


@pytest.mark.parametrize(("text", "share", "back"), [("10%", 0.1, "10%"), ("0%", 0.0, "0%"), ("12.5%", 0.125, "12.5%")])
def test_shares(text: str, share: float, back: str) -> None:
    assert parse_share(text) == share
    assert format_share(share) == back


@given(st.integers(0, 366 * 24 * 3600 * 1000))
def test_durations_survive_formatting(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, MAX_BYTES))
def test_sizes_survive_formatting(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10_000))
def test_shares_survive_formatting(hundredths: int) -> None:
    assert parse_share(format_share(hundredths / 10_000)) == hundredths / 10_000


@pytest.mark.parametrize(
    "text", ["", "2", "s", "-1s", "1 s", "1S", "1d", "1h30m", "1e3s", "1.s", "\u0662s", "2s\n", "1_0s"]
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 250ms, 2s, 1\.5m or 1h, got "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("[::1]:80", Address("::1", 80), True),
        ("[::ffff:127.0.0.1]:80", Address("::ffff:127.0.0.1", 80), True),
        ("[::]:80", Address("::", 80), False),
        (":8080", Address("", 8080), False),
        ("0.0.0.0:1", Address("0.0.0.0", 1), False),
        ("localhost:1", Address("localhost", 1), True),
        ("localhost.:1", Address("localhost.", 1), True),
        ("gateway_1.internal:1", Address("gateway_1.internal", 1), False),
        ("unix:/run/p.sock", Address(path="/run/p.sock"), True),
    ],
)
def test_addresses(text: str, address: Address, loopback: bool) -> None:
    assert Address.parse(text) == address
    assert str(address) == text
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text", ["", "8080", "h", "h:", "h:x", "h:1:2", "[::1]", "[::1:80", "[x]:1", "a b:1", "unix:", "unix://x", "h/:1"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "url", "host_header", "back"),
    [
        ("http://h", Url("http", "h", 80), "h", "http://h"),
        ("http://h/", Url("http", "h", 80), "h", "http://h"),
        ("http://h:8000/v1", Url("http", "h", 8000), "h:8000", "http://h:8000"),
        ("http://h:8000/v1/", Url("http", "h", 8000), "h:8000", "http://h:8000"),
        ("http://h/api/v1", Url("http", "h", 80, "/api"), "h", "http://h/api"),
        ("http://h/v1/v1", Url("http", "h", 80, "/v1"), "h", "http://h/v1"),
        ("http://h/v2", Url("http", "h", 80, "/v2"), "h", "http://h/v2"),
        ("HTTPS://API.Example.com:443", Url("https", "api.example.com", 443), "api.example.com", "https://api.example.com"),
        ("https://name.:8443", Url("https", "name.", 8443), "name.:8443", "https://name.:8443"),
        ("https://API.example.com./v1", Url("https", "api.example.com.", 443), "api.example.com.", "https://api.example.com."),
        ("http://h.", Url("http", "h.", 80), "h.", "http://h."),
        (f"http://{'a.' * 126}a.", Url("http", f"{'a.' * 126}a.", 80), f"{'a.' * 126}a.", f"http://{'a.' * 126}a."),
        ("http://h:443", Url("http", "h", 443), "h:443", "http://h:443"),
        ("http://[2001:db8::1]:8000/x", Url("http", "2001:db8::1", 8000, "/x"), "[2001:db8::1]:8000", "http://[2001:db8::1]:8000/x"),
        ("unix:/run/e.sock", Url("unix", "localhost", 0, path="/run/e.sock"), "localhost", "unix:/run/e.sock"),
    ],
)  # fmt: skip
def test_urls(text: str, url: Url, host_header: str, back: str) -> None:
    assert Url.parse(text) == url
    assert url.host_header == host_header
    assert str(url) == back


@pytest.mark.parametrize(
    "text",
    ["", "h", "//h", "http:/h", "http://", "http://:80", "http://h:", "http://h:x", "http://a:b:c", "http://h//x",
     "http://h/%zz", "http://h\\x", "http://-h", "http://[fe80::1%eth0]", "http://h\t", "http://é", "unix:x", "ws://h",
     "http://.", "http://h..", "http://.h", "http://h..g", "http://.:80", "http://127.0.0.1.", "http://1.2.3.", "http://9.",
     f"http://{'a.' * 126}aa."],
)  # fmt: skip
def test_urls_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Url.parse(text)


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::1", "::1/128"),
    ],
)
def test_networks(text: str, back: str) -> None:
    assert str(parse_network(text)) == back


@pytest.mark.parametrize(
    "text",
    ["", "/", "/8", "10/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "10.0.0.0/8/8",
     "010.0.0.0/8", " 10.0.0.0/8", "10.0.0.0/8\n", "10.0.0.0/\u0668", "::/129", "fe80::1%eth0/64", "[::1]/128", "h/8"],
)  # fmt: skip
def test_networks_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a CIDR such as 10\.0\.0\.0/8 or 2001:db8::/32, got "):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1/8", '"10.0.0.1/8" has bits beyond its prefix; the network is 10.0.0.0/8'),
        ("2001:db8::1/32", '"2001:db8::1/32" has bits beyond its prefix; the network is 2001:db8::/32'),
        ("::ffff:10.0.0.0/104", '"::ffff:10.0.0.0/104" holds IPv4 addresses; write them as such'),
        ("::ffff:0:0/96", '"::ffff:0:0/96" holds IPv4 addresses; write them as such'),
    ],
)
def test_networks_that_are_meant_otherwise(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_network(text)


@given(st.ip_addresses(), st.integers(0, 128))
def test_networks_survive_formatting(address: IPv4Address | IPv6Address, length: int) -> None:
    network = ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    assume(not (isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96"))))
    assert parse_network(str(network)) == network
