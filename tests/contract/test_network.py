"""The guard that keeps clients on this machine."""

import socket

import pytest

from tests.contract.conftest import GUARD


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid"])
def test_whoever_leaves_this_machine_is_refused_and_noted(host):
    with pytest.raises(OSError, match="is not this machine"):
        socket.create_connection((host, 80), timeout=1)
    assert host in GUARD.refused.pop()


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=1).close()
    assert GUARD.refused == []
