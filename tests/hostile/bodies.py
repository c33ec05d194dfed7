"""Bodies that are no JSON, or JSON that nobody should have to read; the same for every route."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.hostile.runner import ANY, BAD, Case

JSON = {"content-type": "application/json"}
OK, MEDIA, LARGE = frozenset({200}), frozenset({415}), frozenset({413})

LIMIT = 8 << 20  # http.max_body_bytes


BOMB = gzip.compress(b" " * (64 << 20))


def heavy(path: str, body: dict[str, Any]) -> Iterator[Case]:
    """Small enough for the limit, and made to take long."""
    good = json.dumps(body).encode()
    yield Case("lists", path, _with(body, b"[" + b"[]," * 2_700_000 + b"[]]"), BAD)
    yield Case("objects", path, _with(body, b"[" + b"{}," * 2_700_000 + b"{}]"), BAD)
    yield Case("names", path, b"{" + b",".join(b'"%x":0' % at for at in range(750_000)) + b"}", BAD)
    yield Case("texts", path, _with(body, b"[" + b'"xy",' * 1_600_000 + b'""]'), BAD)
    yield Case("quotes and backslashes", path, b'{"' + b'a\\"' * 2_700_000, BAD)
    yield Case("strings that do not end", path, b'"a\\' * 2_700_000, BAD)
    yield Case("numbers", path, _with(body, b"[" + b"1," * 4_000_000 + b"1]"), OK)
    yield Case("digits", path, _with(body, b"9" * 8_000_000), BAD)
    yield Case("decimals", path, _with(body, b"0." + b"9" * 8_000_000), ANY)
    yield Case("a long text", path, _with(body, b'"' + b"x" * 8_000_000 + b'"'), OK)
    yield Case("half a character at the end", path, _with(body, b'"' + b"x" * 8_000_000 + b'\\ud800"'), BAD)
    yield Case("too large", path, good + b" " * LIMIT, LARGE)


def _with(body: dict[str, Any], value: bytes, name: bytes = b'"more"') -> bytes:
    """The body, and one more field in it, which no route knows."""
    return json.dumps(body).encode()[:-1] + b"," + name + b":" + value + b"}"


def cases(path: str, body: dict[str, Any]) -> Iterator[Case]:
    good = json.dumps(body).encode()
    for name, content, expects in _contents(body, good):
        yield Case(name, path, content, expects)
    for name, headers in _headers():
        yield Case(name, path, good, MEDIA, headers)
    yield Case("gzip bomb", path, BOMB, MEDIA, JSON | {"content-encoding": "gzip"})
    yield Case("identity", path, good, OK, JSON | {"content-encoding": "identity"})
    yield Case("a charset", path, good, OK, {"content-type": "Application/JSON; charset=utf-8"})
    yield Case("a kind of JSON", path, good, OK, {"content-type": "application/problem+json"})


def _contents(body: dict[str, Any], good: bytes) -> Iterator[tuple[str, bytes, frozenset[int]]]:
    yield from ((f"no JSON: {bad!r}", bad, BAD) for bad in _NO_JSON)
    yield from ((f"no object: {bad!r}", bad, BAD) for bad in (b"null", b"[]", b'"text"', b"3", b"true", b"[{}]"))
    yield "cut", good[:-1], BAD
    yield "trailing comma", good[:-1] + b",}", BAD
    yield "something behind", good + b"{}", BAD
    yield "an object in an array", b"[" + good + b"]", BAD
    yield "UTF-16", good.decode().encode("utf-16"), BAD
    yield "a byte order mark", b"\xef\xbb\xbf" + good, BAD
    yield from ((f"a field of {value[:20]!r}", _with(body, value), BAD) for value in _NO_VALUES)
    yield "half a character in a name", _with(body, b"1", b'"\\ud800"'), BAD
    yield "invalid UTF-8 in a name", _with(body, b"1", b'"\xff"'), BAD
    yield "depth of 100,000 lists", b"[" * 100_000, BAD
    yield "depth of 100,000 objects", b'{"a":' * 100_000, BAD
    yield "depth of 100,000, closed, in a field", _with(body, b"[" * 100_000 + b"]" * 100_000), BAD
    yield "5,000 digits", _with(body, b"9" * 5000), BAD
    yield "minus 5,000 digits", _with(body, b"-" + b"9" * 5000), BAD
    yield "digits, escaped NUL and an unknown field", _with(body, b'[1e5, -0.0, 4000000000000000000000, "\\u0000"]'), OK
    yield "names that are no ASCII", _with(body, b"1", '"schön\\n\\u0000"'.encode()), OK
    yield "4,000 unknown names", _with({**body, **{f"x{at}": at for at in range(4000)}}, b"1"), OK
    yield "a name of 100,000 characters", _with(body, b"1", b'"' + b"n" * 100_000 + b'"'), OK
    yield "the same name twice", _with(body, json.dumps(body["model"]).encode(), b'"model"'), OK
    yield "the same name twice, wrong at last", _with(body, b'"other"', b'"model"'), frozenset({404})


_NO_JSON = (b"", b" ", b"{", b"}", b"nul", b"{'model': 1}", b"{model: 1}", b'{"a" 1}', b'{"a":}', b"\x00", b"\xff\xfe{")
_NO_VALUES = (
    *(b"NaN", b"Infinity", b"-Infinity", b"nan", b"01", b"+1", b".5", b"1.", b"0x10", b"1_000", b"undefined"),
    *(b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'),  # no UTF-8: too long, half a pair, too high
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\u0041"', b'["", {"a": "\\udfff"}]'),
    *(b'"a\x00b"', b'"a\nb"', b'"\\x41"', b'"\\u12"', b'"\\', b"/* */ 1", b"1 // one", b"[1 2]", b"[,]", b'{"a"}'),
)


def _headers() -> Iterator[tuple[str, dict[str, str]]]:
    for kind in (
        *("text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("application/xml", "application/jsonx", "json", "*/*", "application/json, text/plain", "\u00fc", "x" * 3000),
    ):
        yield f"content type {kind[:40]}", {"content-type": kind}
    yield "no content type", {}
    for coding in ("gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "identity, gzip", "x" * 3000):
        yield f"content encoding {coding[:40]}", JSON | {"content-encoding": coding}
