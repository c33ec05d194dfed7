"""Requests that are no HTTP, or HTTP that two servers could read in two ways."""

from collections.abc import Iterator

BAD, LARGE, HEADERS, MISDIRECTED = frozenset({400}), frozenset({413}), frozenset({431}), frozenset({421})
OK, MISSING, METHOD = frozenset({200}), frozenset({404}), frozenset({405})

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BODY = b'{"model":"other","max_tokens":1,"messages":[{"role":"user","content":"x"}]}'
HOST = b"Host: localhost\r\n"

Row = tuple[str, bytes, frozenset[int]]


def head(path: str = CHAT, *lines: bytes, method: str = "POST") -> bytes:
    return b"%b %b HTTP/1.1\r\n%bContent-Type: application/json\r\n%b\r\n" % (
        method.encode(),
        path.encode(),
        HOST,
        b"".join(line + b"\r\n" for line in lines),
    )


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


def bodies(path: str) -> Iterator[Row]:
    """How long a body is said to be. Each would be 404 (no such model) if it were read."""
    yield "a good one", head(path, LENGTH) + BODY, MISSING
    yield "a good one in chunks", head(path, CHUNKED) + _chunks(BODY), MISSING
    for name, lines in {
        "both lengths": (LENGTH, CHUNKED),
        "both lengths, the other way round": (CHUNKED, LENGTH),
        "two lengths": (LENGTH, b"Content-Length: 5"),
        "the same length twice": (LENGTH, LENGTH),
        "a list of lengths": (b"Content-Length: 5, 5",),
        "a negative length": (b"Content-Length: -1",),
        "a length with a sign": (b"Content-Length: +5",),
        "a length in hexadecimal": (b"Content-Length: 0x10",),
        "a length of 2^70": (b"Content-Length: 1180591620717411303424",),
        "no length": (b"Content-Length: ",),
        "a space before the colon": (b"Content-Length : 5",),
        "an unknown coding": (b"Transfer-Encoding: xchunked",),
        "a coding behind chunked": (b"Transfer-Encoding: chunked, identity",),
        "two codings": (b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity"),
        "an upgrade": (LENGTH, b"Connection: Upgrade", b"Upgrade: h2c"),
        "an upgrade to a web socket": (LENGTH, b"Connection: Upgrade", b"Upgrade: websocket"),
    }.items():
        yield name, head(path, *lines) + BODY, BAD
    for name, chunks in {
        "a chunk of no size": b"\r\nx\r\n",
        "a chunk of a bad size": b"ZZ\r\n",
        "a chunk of a negative size": b"-5\r\nhello\r\n",
        "a chunk of 2^64": b"ffffffffffffffff1\r\n",
        "a chunk longer than it says": b"1\r\nhello\r\n0\r\n\r\n",
    }.items():
        yield name, head(path, CHUNKED) + chunks, BAD
    yield "a chunk with a long extension", head(path, CHUNKED) + b"1;" + b"x" * 200_000 + b"\r\n{\r\n", HEADERS
    yield "long trailers", head(path, CHUNKED) + b"1\r\n{\r\n0\r\n" + b"X: y\r\n" * 200_000, HEADERS
    yield "100 MB, declared", head(path, b"Content-Length: 100000000"), LARGE
    yield "100 MB, declared, asked for", head(path, b"Content-Length: 100000000", b"Expect: 100-continue"), LARGE
    yield "9 MB in chunks", head(path, CHUNKED) + (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 9, LARGE


def heads(path: str) -> Iterator[Row]:
    good = head(path, LENGTH)
    for name, line in {
        "a folded line": b"X-A: b\r\n c",
        "a line without a colon": b"X-A",
        "a line without a name": b": x",
        "a NUL": b"X-A: a\x00b",
        "a carriage return": b"X-A: a\rb",
        "a name with a space": b"X A: b",
        "a name that is no ASCII": b"X-\xc3\xa4: b",
        "two hosts": b"Host: localhost",
        "an empty host beside it": b"Host: ",
    }.items():
        yield name, head(path, LENGTH, line) + BODY, BAD
    yield "ends of lines that are none", good.replace(b"\r\n", b"\n") + BODY, BAD
    yield "a value that is no ASCII", head(path, LENGTH, b"X-A: \xff\xfe") + BODY, MISSING
    yield "a header of 1 MiB", head(path, LENGTH, b"X-A: " + b"a" * (1 << 20)) + BODY, HEADERS
    yield "a name of 1 MiB", head(path, LENGTH, b"X" * (1 << 20) + b": a") + BODY, HEADERS
    yield "a header that does not end", good[:-2] + b"X-A: " + b"a" * (1 << 20), HEADERS
    yield "1,000 headers", head(path, LENGTH, *[b"X-A: a"] * 1000) + BODY, HEADERS
    yield "100,000 headers", head(path, LENGTH, *[b"X: y"] * 100_000) + BODY, HEADERS
    yield "a target of 1 MiB", head(path + "?" + "x" * (1 << 20), LENGTH) + BODY, HEADERS
    yield "another host", good.replace(b"localhost", b"evil.example") + BODY, MISDIRECTED
    yield "a host that begins as ours", good.replace(b"localhost", b"localhost.evil.example") + BODY, MISDIRECTED
    yield "a host that is none", good.replace(b"localhost", b"[::1") + BODY, MISSING
    yield "a host of 2,000 characters", good.replace(b"localhost", b"h" * 2000) + BODY, MISDIRECTED
    yield "no host", good.replace(HOST, b"") + BODY, BAD
    yield "HTTP/1.0, no host", good.replace(HOST, b"").replace(b"1.1", b"1.0") + BODY, MISSING


def lines() -> Iterator[Row]:
    """First lines, and what is no HTTP at all."""
    yield from (
        ("HTTP/0.9", b"GET /livez\r\n\r\n", BAD),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
        ("HTTP/2.0 of old", b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n", BAD),
        ("HTTP/9.9", b"GET /livez HTTP/9.9\r\n\r\n", BAD),
        ("TLS", bytes.fromhex("1603010200010001fc0303") + bytes(200), BAD),
        ("SSH", b"SSH-2.0-OpenSSH_9.0\r\n", BAD),
        ("a mail", b"EHLO example.com\r\n", BAD),
        ("zeros", bytes(100_000), BAD),
        ("a line that does not end", b"G" * 200_000, BAD),
        ("a method that is none", b"BREW /livez HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
        ("a target that is none", b"GET http:// HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
        ("a target without a path", b"GET http://localhost?x HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
        ("CONNECT", b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
        ("empty lines first", b"\r\n\r\nGET /livez HTTP/1.1\r\n" + HOST + b"\r\n", OK),
        ("a target with its host", b"GET http://evil.example/livez HTTP/1.1\r\n" + HOST + b"\r\n", OK),
        ("a web socket", head("/livez", b"Connection: Upgrade", b"Upgrade: websocket", method="GET"), OK),
        ("HEAD", head("/readyz", method="HEAD"), OK),
        ("OPTIONS", head("/livez", method="OPTIONS"), METHOD),
        ("TRACE", head("/livez", method="TRACE"), METHOD),
        ("OPTIONS of all", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", MISSING),
    )
    for target in PATHS:
        yield f"GET {target[:60]}", head(target, method="GET"), MISSING
    for target in ("/v1/models?x=%00&%ff=%", "/livez#x", "/%6civez"):
        yield f"GET {target}", head(target, method="GET"), OK


PATHS = (
    *("/v1/../livez", "/v1/%2e%2e/livez", "/./livez", "//livez", "//v1/models", "/v1//models", "/livez/", "/livez;x"),
    *("/v1/models/%00", "/v1/models/%ff%fe", "/v1/models/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd"),
    *("/livez%00", "/livez%20", "/LIVEZ", "/%", "/%zz", "/" + "a" * 30_000, "/" + "../" * 5_000, "/" + "%2e" * 5_000),
    *(
        "/static-offline-docs/%00",
        "/static-offline-docs/..%2f..%2f..%2f..%2fetc/passwd",
        "/static-offline-docs/" + "a" * 5000,
    ),
    *(
        "/static-offline-docs/%ff",
        "/static-offline-docs//etc/passwd",
        "/v1/responses/%00",
        "/v1/responses/" + "x" * 20_000,
    ),
    *("/v1/responses/..%2f..%2fx", "/v1/responses/%ff/input_items", "/v1/responses/' OR 1=1--".replace(" ", "%20")),
    *("/v1/responses/x/input_items?after=%00&limit=5", "/v1/responses/x?stream=true&starting_after=5"),
    *("/.git/config", "/.env", "/admin", "/v1/messages/batches", "/v1/%6dessages/x", "/metrics/../livez"),
)


def _chunks(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
