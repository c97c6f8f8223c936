"""The banner's line for a shell is what the shell makes a request of, and nothing in it is taken for decoration."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.cli.banner import curl_line, print_banner
from penstock.config import load_text
from penstock.config.address import Address

MODELS = ["plain", "it's", 'a "b"', "$(touch x)`id`", "a\\b", "qwen:rocket:", "[red]m[/red]", "größe 🚰", "!!", "*"]


def words_of(line: str) -> list[str]:
    """Return what the shell gives curl."""
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    assert said.stderr == b""
    return said.stdout.decode().split("\0")[:-1]


def asked(words: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_any_name(model: str, stream: bool) -> None:
    words = words_of(curl_line(Address("127.0.0.1", 8080), model, "Isn't it?", stream=stream))
    body = asked(words)
    assert (body["model"], body.get("stream", False)) == (model, stream)
    assert body["messages"] == [{"role": "user", "content": "Isn't it?"}]
    assert ("-N" in words) is stream
    assert words[words.index("-H") + 1] == "content-type: application/json"


@pytest.mark.parametrize("path", ["/run/penstock.sock", "/tmp/my sockets/it's; $HOME [a].sock"])
def test_a_path_of_any_name(path: str) -> None:
    words = words_of(curl_line(Address(path=path), "m", "q"))
    assert words[:3] == ["--unix-socket", path, "http://localhost/v1/chat/completions"]


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[fe80::1]:8080", "http://[fe80::1]:8080"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
async def test_the_banner_shows_the_line_as_it_is(
    listen: str, url: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    settings = load_text(
        f"""
listen: "{listen}"
access: {{allow_anonymous: true}}
backends: {{a: {{url: "http://h", concurrency: 1}}}}
tiers: {{instant: {{models: [{json.dumps(model, ensure_ascii=False)}], backends: [a]}}}}
""",
        "p.yaml",
    )
    control: Any = SimpleNamespace(settings=settings, prober=SimpleNamespace(probes=[]))
    await print_banner(control)
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("  curl ")]
    words = words_of(line)
    assert words[0] == f"{url}/v1/chat/completions"
    assert asked(words)["model"] == model
    assert f"  {url}  (admin http://127.0.0.1:9180/metrics)" in said
