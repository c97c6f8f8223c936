"""The admin token that Penstock makes: a file for each listener, gone with it, and no file where none can be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.admin.token import remove_token
from penstock.app.effective_settings import effective_settings
from penstock.config.address import Address
from penstock.config.settings import Settings
from penstock.errors import PenstockError
from penstock.net.listener import bind


def free_port() -> int:
    with bind(Address("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def started(settings: Settings, listen: Address) -> Settings:
    """Return the settings of an instance with this admin listener, as it runs."""
    wanted = replace(settings, admin=replace(settings.admin, listen=listen))
    with bind(settings.listen) as data, bind(listen) as admin:
        return effective_settings(wanted, data, admin)


def files(tmp_path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (tmp_path / "penstock").iterdir()}


def test_every_listener_has_a_file_of_its_own(settings: Settings, tmp_path: Path) -> None:
    """Those at paths have no port, and two addresses may have the same one."""
    listens = [Address(path=str(tmp_path / name)) for name in ("a", "b")]
    listens += [Address(host, free_port()) for host in ("127.0.0.1", "127.0.0.1")]
    listens.append(Address("127.0.0.2", listens[-1].port))
    instances = [started(settings, listen) for listen in listens]
    tokens = {instance.admin.token for instance in instances}
    assert len(tokens) == len(listens)
    assert set(files(tmp_path).values()) == tokens
    for instance in instances:
        remove_token(instance.admin)
    assert files(tmp_path) == {}


def test_the_file_is_named_by_the_address_and_readable_by_its_owner_alone(settings: Settings, tmp_path: Path) -> None:
    instance = started(settings, Address("localhost", 0))
    assert files(tmp_path) == {f"127.0.0.1:{instance.admin.listen.port}.token": instance.admin.token}
    (file,) = (tmp_path / "penstock").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_of_a_later_instance_stays(settings: Settings, tmp_path: Path) -> None:
    listen = Address(path=str(tmp_path / "admin"))
    first, second = started(settings, listen), started(settings, listen)
    remove_token(first.admin)
    assert list(files(tmp_path).values()) == [second.admin.token]


def test_a_given_token_leaves_no_trace(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "given")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    instance = started(settings, Address("127.0.0.1", 0))
    assert (instance.admin.token, instance.warnings) == ("given", ())
    remove_token(instance.admin)
    assert list(tmp_path.iterdir()) == []


def a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def a_file_inside(folder: Path) -> Path:
    (folder / "penstock").touch()
    return folder


PORT = free_port()


def a_folder_in_the_way(folder: Path) -> Path:
    (folder / "penstock" / f"127.0.0.1:{PORT}.token").mkdir(parents=True)
    return folder


def nothing(_: Path) -> Path:
    # Nobody may make a folder there, root included.
    return Path("/proc/none")


@pytest.mark.parametrize("make", [a_file, a_file_inside, a_folder_in_the_way, nothing])
def test_a_run_directory_that_cannot_be_used(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    base = make(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with pytest.raises(PenstockError) as caught:
        started(settings, Address("127.0.0.1", PORT))
    assert str(caught.value).startswith(f"the run directory {base}/penstock cannot be used: ")
    assert "; set XDG_RUNTIME_DIR to a folder of your own" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_run_directory_of_another_user(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PenstockError, match="belongs to another user"):
        started(settings, Address("127.0.0.1", 0))


def test_without_any_folder_the_admin_plane_is_locked_with_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    instance = started(settings, Address("127.0.0.1", 0))
    assert len(instance.admin.token or "") >= 32
    (warning,) = instance.warnings
    assert warning.path == "admin.token"
    assert "set XDG_RUNTIME_DIR" in warning.message
    remove_token(instance.admin)
