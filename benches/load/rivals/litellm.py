"""LiteLLM's proxy: one worker, no data base, no key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from peer import MODEL, Peer

from rivals.package import Package, Registry

if TYPE_CHECKING:
    from pathlib import Path

# 1.82.7, 1.82.8 and 1.107.0 were reported to be malicious uploads: look before this version is changed.
LITELLM = Package(Registry.PYPI, "litellm", ("litellm[proxy]==1.106.2",), "bin/litellm")


def command(home: Path, folder: Path, port: int, backend: int) -> list[str]:
    engine = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{backend}/v1", "api_key": "unused"}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": engine}],
        # It refuses to start without a key unless told so, and without one it has less to do.
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    configuration = folder / "litellm.yaml"
    # JSON is YAML.
    configuration.write_text(json.dumps(settings, indent=2))
    arguments = ["--config", str(configuration), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # Its table of prices from its own package: by default it asks for a newer one on the network.
    return ["env", "LITELLM_LOCAL_MODEL_COST_MAP=True", str(LITELLM.path(home)), *arguments]


PEER = Peer(
    name="litellm",
    note=f"LiteLLM, {LITELLM.version}",
    command=command,
    missing=LITELLM.missing,
    install=LITELLM.install,
)
