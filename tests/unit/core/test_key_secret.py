import hashlib
import re

from fathom.core.key_secret import LENGTH, hash_of, new_secret, prefix_of


def test_a_secret_is_a_mark_and_32_random_bytes():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert re.fullmatch(r"fk-[A-Za-z0-9_-]{43}", secret)
        assert len(secret) == LENGTH


def test_what_is_shown_of_it_is_its_beginning():
    assert prefix_of("fk-abcdefgh") == "fk-abcd"


def test_what_is_kept_of_it_is_its_hash():
    assert hash_of(b"fk-abc") == hashlib.sha256(b"fk-abc").digest()
