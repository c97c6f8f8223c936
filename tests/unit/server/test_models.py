"""The list of models, and what is known of each."""

from __future__ import annotations

from penstock._core import Segment
from penstock.config import load_text
from penstock.config.routing import routing_json
from penstock.server.models import Models

CONFIG = """
backends:
  a: {url: "http://127.0.0.1:1", concurrency: 4}
  b: {url: "http://127.0.0.1:2", concurrency: 4}
  c: {url: "http://127.0.0.1:3", concurrency: 4}
tiers:
  thinking: {models: [slow], backends: [c, b]}
  instant: {models: [fast, faster], backends: [a]}
"""


def test_max_model_len_is_what_every_backend_of_a_name_takes() -> None:
    settings = load_text(CONFIG, "test.yaml")
    segment = Segment(routing_json(settings), shared=False)
    models = Models(settings, segment)

    def lengths() -> dict[str, object]:
        data = models.listing()["data"]
        assert isinstance(data, list)
        for model in data:
            assert model == models.get(model["id"])
        return {model["id"]: model.get("max_model_len", "absent") for model in data}

    assert lengths() == {"slow": "absent", "fast": "absent", "faster": "absent"}
    segment.set_context(1, 32768)
    assert lengths() == {"slow": 32768, "fast": "absent", "faster": "absent"}
    segment.set_context(2, 4096)
    segment.set_context(0, 1 << 62)
    assert lengths() == {"slow": 4096, "fast": 1 << 62, "faster": 1 << 62}
    # Another engine has taken its place, and says nothing.
    segment.set_context(2, None)
    assert lengths() == {"slow": 32768, "fast": 1 << 62, "faster": 1 << 62}
    assert models.get("a") is None
