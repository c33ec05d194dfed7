"""The name by which a client calls this server. A page in somebody's browser can call a server on their machine under
a name of its own (DNS rebinding); so a server on loopback answers to names of loopback alone."""

from collections.abc import Sequence
from ipaddress import ip_address

from fathom.core.errors import MisdirectedRequest, ServiceError, Unreadable
from fathom.settings import HttpSettings


class Hosts:
    """Whom this server takes itself for, by the settings."""

    def __init__(self, http: HttpSettings) -> None:
        self._known = {host.lower() for host in http.allowed_hosts}
        self._any = not self._known and not _is_loopback(http.host)
        self._good: set[bytes] = set()

    def problem(self, headers: Sequence[tuple[bytes, bytes]], version: str) -> ServiceError | None:
        """What is wrong with the Host of a request."""
        given = [value for name, value in headers if name == b"host"]
        if len(given) != 1 and (given or version == "1.1"):
            return Unreadable("A request has one Host header.")
        if not given or self._any or given[0] in self._good:
            return None
        host = _name(given[0].decode("latin-1"))
        if host in self._known or _is_loopback(host) or _is_address(host):
            if len(self._good) < _KEPT:
                self._good.add(given[0])
            return None
        return MisdirectedRequest(
            f"This server does not answer to the host {host[:100]!r}. Call it by its address, or add the name to the "
            "server's setting http.allowed_hosts."
        )


_KEPT = 64


def _name(host: str) -> str:
    """Without its port, in the spelling that is compared."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
