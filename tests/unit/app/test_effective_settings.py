"""The settings that all processes run with."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.app.effective_settings import effective_settings
from penstock.config.address import Address
from penstock.config.settings import Settings
from penstock.net.listener import bind

ANY = Address("127.0.0.1", 0)


def test_the_settings_as_they_run(settings: Settings) -> None:
    with bind(ANY) as data, bind(ANY) as admin:
        actual = effective_settings(settings, data, admin)
        assert actual.listen.port == data.getsockname()[1]
        assert actual.admin.listen.port == admin.getsockname()[1]
        assert actual.admin.token is not None
        assert len(actual.admin.token) >= 32
        given = replace(settings, admin=replace(settings.admin, token="t"))
        assert effective_settings(given, data, admin).admin.token == "t"
