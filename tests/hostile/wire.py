"""Bytes on a connection, and what comes back."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.hostile.runner import judge
from tests.hostile.score import Score
from tests.hostile.target import Target

SILENCE = 0  # the "status" of a connection that ends without an answer

_PATIENCE = 20.0
_QUIET = 0.2  # seconds after which a connection that stays open has said all


@dataclass(frozen=True)
class Heard:
    """statuses: of each answer, SILENCE if there is none. ended: the server closed the connection."""

    statuses: tuple[int, ...]
    text: str
    body: str
    content_type: str
    ended: bool


@contextmanager
def connected(target: Target) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", target.server.port), _PATIENCE) as connection:
        yield connection


def hear(connection: socket.socket, *, all: bool = True) -> Heard:
    """What comes until the end, or until it is quiet. `all`: also what is behind a whole answer."""
    heard, ended = b"", False
    deadline = time.monotonic() + _PATIENCE
    while not ended and time.monotonic() < deadline and (all or not _is_whole(heard)):
        connection.settimeout(_QUIET if _is_whole(heard) else deadline - time.monotonic())
        try:
            piece = connection.recv(1 << 16)
        except TimeoutError:
            break
        except ConnectionError:
            piece = b""
        heard += piece
        ended = not piece
    return _read(heard, ended)


def try_bytes(target: Target, score: Score, name: str, data: bytes, expects: frozenset[int], path: str) -> None:
    """Judge what these bytes, all at once, are answered with."""
    score.inputs += 1
    with connected(target) as connection:
        with suppress(ConnectionError):  # where the answer comes before the end of them
            connection.sendall(data)
        heard = hear(connection, all=False)
    if heard.statuses == (SILENCE,):
        if not heard.ended:
            score.hangs.append(f"{name}: no answer")
        elif SILENCE not in expects:
            score.unclear.append(f"{name}: hung up on without a word")
        return
    judge(score, name, path, expects, heard.statuses[0], heard.content_type, heard.body)


def _is_whole(heard: bytes) -> bool:
    head, found, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    return bool(found) and (length is None or len(body) >= int(length[1]))


def _read(heard: bytes, ended: bool) -> Heard:
    text = heard.decode("utf-8", "replace")
    statuses = tuple(map(int, re.findall(r"HTTP/1\.1 (\d{3}) ", text)))
    head, _, body = text.partition("\r\n\r\n")
    kinds = [line[14:] for line in head.split("\r\n") if line.lower().startswith("content-type: ")]
    return Heard(statuses or (SILENCE,), text, body, kinds[0] if kinds else "", ended)
