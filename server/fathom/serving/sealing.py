"""What a client may keep for us, and must not be able to make or change: traces, signed or sealed.

A signature lies beside a trace that the client can read; a sealed trace can be read by this server alone. Both say
their version in their first byte (Fernet's own, in what is sealed), so that another scheme can follow.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

_VERSION = b"\x01"


class Seals:
    """Signs and seals with keys derived from `key`, 32 random bytes that never leave the server."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == 32, "a key has 32 bytes"
        self._signing_key = _derived(key, b"fathom: sign")
        self._fernet = Fernet(base64.urlsafe_b64encode(_derived(key, b"fathom: seal")))

    def sign(self, trace: str) -> str:
        return base64.b64encode(_VERSION + _derived(self._signing_key, _bytes(trace))).decode()

    def verify(self, trace: str, signature: str) -> bool:
        """Whether `signature` is ours, for exactly this trace. Takes the same time however much of it is right."""
        return hmac.compare_digest(_bytes(self.sign(trace)), _bytes(signature))

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(_bytes(text)).decode()

    def open(self, sealed: str) -> str | None:
        """The text, or None if this server did not seal it."""
        try:
            return self._fernet.decrypt(_bytes(sealed)).decode("utf-8", "surrogatepass")
        except InvalidToken:
            return None


def _derived(key: bytes, of: bytes) -> bytes:
    return hmac.digest(key, of, hashlib.sha256)


def _bytes(text: str) -> bytes:
    """What clients send may hold half of a surrogate pair."""
    return text.encode("utf-8", "surrogatepass")
