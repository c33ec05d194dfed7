"""The secret of a key: `fk-` and 32 random bytes in URL-safe base64.

Its SHA-256 is what is kept. A slow, salted hash is for what people make up: it buys time against whoever guesses. 256
random bits are guessed by nobody, however fast the hash is, and no two are the same; so nothing would be gained, and
every request would pay milliseconds for it.
"""

import secrets
from hashlib import sha256

_BYTES = 32
_MARK = "fk-"
_SHOWN = len(_MARK) + 4

LENGTH = len(_MARK) + 43
"""Characters of every secret."""


def new_secret() -> str:
    return _MARK + secrets.token_urlsafe(_BYTES)


def prefix_of(secret: str) -> str:
    """How it begins: enough to be told from others, too little to help anyone guess (24 of 256 bits)."""
    return secret[:_SHOWN]


def hash_of(secret: bytes) -> bytes:
    return sha256(secret).digest()
