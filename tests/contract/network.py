"""No client may talk to anyone but the server under test."""

import ipaddress
import sys
from typing import Any

_HOST_OF = {
    "socket.connect": lambda args: args[1],
    "socket.sendto": lambda args: args[1],
    "socket.getaddrinfo": lambda args: args[:2],
}


class NetworkGuard:
    """Refuses and notes whatever leaves this machine. An audit hook can't be taken away, so it is turned on and off."""

    def __init__(self) -> None:
        self.active = False
        self.refused: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or event not in _HOST_OF:
            return
        address = _HOST_OF[event](arguments)
        if isinstance(address, tuple) and not _is_here(address[0]):
            self.refused.append(f"{event} {address}")
            raise OSError(f"{address} is not this machine")


def _is_here(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
