"""The sealed configuration, and the limit on open files."""

from __future__ import annotations

import os
import resource

import pytest

from penstock.config.settings import Settings
from penstock.process.config_memfd import ConfigMemfd
from penstock.process.file_limit import fit_connections


def test_the_sealed_configuration_is_what_was_accepted(settings: Settings) -> None:
    config = ConfigMemfd(settings)
    assert config.load() == config.load() == settings
    assert config.load().warnings == settings.warnings
    for change in (
        lambda: os.pwrite(config.fileno(), b"x", 0),
        lambda: os.ftruncate(config.fileno(), 0),
        lambda: os.ftruncate(config.fileno(), 1 << 20),
    ):
        with pytest.raises(PermissionError):
            change()
    assert not os.get_inheritable(config.fileno())
    config.close()


@pytest.mark.parametrize(
    ("hard", "connections"), [(20_000, 9872), (20_256, 10_000), (256, 1), (resource.RLIM_INFINITY, 10_000)]
)
def test_connections_fit_the_open_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, hard: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    fitted = fit_connections(settings)
    assert fitted.limits.connections == connections
    texts = [str(warning) for warning in fitted.warnings]
    lowered = f"lowered to {connections}: the limit on open files ({hard}) allows no more"
    assert texts == ([] if connections == 10_000 else [f"test.yaml: limits.connections: {lowered}"])
