"""Who gets an address, and who keeps which socket."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.config.address import Address
from penstock.config.settings import Settings
from penstock.net.listener import ListenError, bind, bind_each, claim
from penstock.process.address_lock import AddressLock
from penstock.process.sockets import Sockets

ANY = Address("127.0.0.1", 0)


def test_an_address_has_one_lock() -> None:
    address = Address("127.0.0.1", 9)
    first = AddressLock(address)
    with pytest.raises(ListenError, match=r"cannot listen on 127\.0\.0\.1:9: another Penstock"):
        AddressLock(address)
    AddressLock(Address("127.0.0.1", 10)).close()
    first.close()
    AddressLock(address).close()


def test_a_lock_lasts_as_long_as_a_child_that_inherited_it() -> None:
    address = Address(path="/run/penstock.sock")
    lock = AddressLock(address)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    lock.close()
    with pytest.raises(ListenError):
        AddressLock(address)
    os.close(writer)
    os.waitpid(child, 0)
    AddressLock(address).close()


def test_every_way_to_write_an_address_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for one, other in [
        (Address("127.0.0.1", 9), Address("127.1", 9)),
        (Address(path=str(tmp_path / "s")), Address(path=str(tmp_path / "link" / "s"))),
    ]:
        lock = AddressLock(one)
        with pytest.raises(ListenError):
            AddressLock(other)
        lock.close()


@pytest.mark.parametrize("wildcard", ["", "0.0.0.0", "::"])
def test_a_wildcard_has_its_port_alone(wildcard: str) -> None:
    """Also while nobody listens any more, as in a drain: nothing is bound here but the lock."""
    every, one = Address(wildcard, 9), Address("127.0.0.1", 9)
    for first, second in [(every, one), (one, every)]:
        lock = AddressLock(first)
        with pytest.raises(ListenError, match="another Penstock runs there, or is still draining"):
            AddressLock(second)
        # Who was refused holds nothing back, and other ports and addresses are free.
        AddressLock(Address(second.host, 10)).close()
        lock.close()
        AddressLock(second).close()


def test_two_addresses_have_a_lock_each() -> None:
    lock = AddressLock(Address("127.0.0.1", 9))
    AddressLock(Address("127.0.0.2", 9)).close()
    lock.close()


def test_the_kernel_spreads_connections_over_the_sockets() -> None:
    listeners = bind_each(claim(ANY), 4)
    (place,) = {listener.getsockname() for listener in listeners}
    clients = [socket.create_connection(place) for _ in range(64)]
    accepted = 0
    for listener in listeners:
        mine = 0
        while True:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                break
            mine += 1
        assert mine > 0
        accepted += mine
    assert accepted == len(clients)
    for opened in (*clients, *listeners):
        opened.close()


def test_a_shared_address_is_not_claimed() -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = Address("127.0.0.1", stranger.getsockname()[1])
        # This is what the claim is for.
        bind_each(address, 1)[0].close()
        with pytest.raises(ListenError, match="another process listens there"):
            claim(address)


def test_what_was_opened_is_closed_when_the_rest_fails(settings: Settings) -> None:
    data, admin = bind(ANY), bind(ANY)
    port = data.getsockname()[1]
    data.close()
    taken = Address("127.0.0.1", admin.getsockname()[1])
    wanted = replace(settings, listen=Address("127.0.0.1", port), admin=replace(settings.admin, listen=taken))
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken.port}"):
        Sockets(wanted)
    admin.close()
    Sockets(wanted).close()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_socket_file_has_the_permissions_that_are_set(
    settings: Settings, tmp_path: Path, umask: int, mode: int
) -> None:
    data, admin = tmp_path / "data", tmp_path / "admin"
    wanted = at_paths(settings, data, admin, mode=mode)
    before = os.umask(umask)
    try:
        with closing(Sockets(wanted)):
            assert stat.S_IMODE(data.stat().st_mode) == mode
            assert stat.S_IMODE(admin.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_socket_files_are_removed_in_the_end(settings: Settings, tmp_path: Path) -> None:
    data, admin = tmp_path / "data", tmp_path / "admin"
    sockets = Sockets(at_paths(settings, data, admin))
    assert data.is_socket() and admin.is_socket()
    sockets.close()
    assert list(tmp_path.iterdir()) == []


def test_the_socket_file_of_a_later_server_stays(settings: Settings, tmp_path: Path) -> None:
    data, admin = tmp_path / "data", tmp_path / "admin"
    sockets = Sockets(at_paths(settings, data, admin))
    admin.unlink()
    with bind(Address(path=str(admin))):
        sockets.close()
        assert list(tmp_path.iterdir()) == [admin]


def test_what_is_no_socket_stays(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("mine")
    with pytest.raises(ListenError, match="another process listens there"):
        Sockets(at_paths(settings, tmp_path / "data", tmp_path / "admin"))
    assert [file.name for file in tmp_path.iterdir()] == ["admin"]


def test_a_server_with_a_full_queue_is_a_server(tmp_path: Path) -> None:
    """Whoever looks whether anybody listens there does not wait to be accepted."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as stack:
        server.bind(path)
        server.listen(1)
        with suppress(BlockingIOError):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(path)
        with pytest.raises(ListenError, match="another process listens there"):
            bind(Address(path=path))
        assert Path(path).is_socket()


def at_paths(settings: Settings, data: Path, admin: Path, mode: int = 0o600) -> Settings:
    return replace(
        settings,
        listen=Address(path=str(data)),
        listen_mode=mode,
        admin=replace(settings.admin, listen=Address(path=str(admin))),
    )


def test_a_process_keeps_only_its_own_sockets(settings: Settings) -> None:
    sockets = Sockets(settings)
    own = sockets.keep_data(1)
    assert [listener.fileno() >= 0 for listener in sockets.data] == [False, True, False]
    assert own is sockets.data[1]
    assert sockets.admin.fileno() == -1
    sockets.close()
    sockets = Sockets(settings)
    assert sockets.keep_admin() is sockets.admin
    assert [listener.fileno() for listener in sockets.data] == [-1, -1, -1]
    assert sockets.admin.fileno() >= 0
    sockets.close()


def test_the_workers_share_the_socket_of_a_path(settings: Settings, tmp_path: Path) -> None:
    sockets = Sockets(replace(settings, listen=Address(path=str(tmp_path / "s"))))
    assert len(set(sockets.data)) == 1
    assert sockets.keep_data(2).fileno() >= 0
    sockets.close()
