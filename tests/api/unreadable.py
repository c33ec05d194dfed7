"""Bodies that are a request in no dialect."""

UNREADABLE = [b"{", b"\xff\xfe", b"[" * 100_000, b'"text"', b""]
