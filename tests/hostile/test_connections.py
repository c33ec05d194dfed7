"""Connections that are not used as they are meant."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from tests.hostile.conftest import Keyed, scripted
from tests.hostile.http_cases import BODY, CHAT, CHUNKED, LENGTH, MESSAGES, head
from tests.hostile.runner import judge
from tests.hostile.score import Score
from tests.hostile.target import Target
from tests.hostile.wire import SILENCE, connected, hear
from tests.running import until

MOST = 40
TIMELY = frozenset({408})
LONG = b'{"model":"scripted","stream":true,"messages":[{"role":"user","content":"%b"}]}' % (b"word " * 5000)
STREAM = head(CHAT, b"Content-Length: %d" % len(LONG)) + LONG


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """It is short of patience and of connections."""
    settings = {"FATHOM_HTTP__READ_TIMEOUT": "1.5", "FATHOM_HTTP__MAX_CONNECTIONS": str(MOST)}
    with scripted(tmp_path_factory.mktemp("connections") / "server.log", **settings) as target:
        yield target


def trickle(connection: socket.socket, data: bytes) -> None:
    """A byte now and then, until the server has had enough."""
    connection.settimeout(0.1)
    for byte in data:
        connection.send(bytes([byte]))
        with suppress(TimeoutError):
            connection.recv(1, socket.MSG_PEEK)
            return
    raise AssertionError("the server reads on")


SLOW = (
    (CHAT, b"", b"GET /" + b"x" * 200),
    (CHAT, head()[:-2], b"X-A: " + b"x" * 200),
    (MESSAGES, head(MESSAGES)[:-2], b"X-A: " + b"x" * 200),
    (CHAT, head(CHAT, LENGTH), BODY),
    (MESSAGES, head(MESSAGES, LENGTH), BODY),
    (CHAT, head(CHAT, CHUNKED), b"1\r\nx\r\n" * 50),
    (CHAT, head(CHAT, CHUNKED), b"1;" + b"x" * 200),
)


def test_a_request_that_trickles_in_is_408(target: Target) -> None:
    def be_slow(path: str, begin: bytes, rest: bytes) -> None:
        score.inputs += 1
        with connected(target) as connection:
            connection.sendall(begin)
            trickle(connection, rest)
            heard = hear(connection)
        assert heard.ended
        judge(score, "slow", path, TIMELY, heard.statuses[0], heard.content_type, heard.body)

    with target.abused("slow") as score, ThreadPoolExecutor(len(SLOW)) as pool:
        for future in [pool.submit(be_slow, *each) for each in SLOW]:
            future.result()


def test_a_connection_that_says_nothing_is_closed_without_a_word(target: Target) -> None:
    with target.abused("silence") as score, ExitStack() as stack:
        silent = [stack.enter_context(connected(target)) for _ in range(20)]
        score.inputs += len(silent)
        assert {hear(each).statuses for each in silent} == {(SILENCE,)}


@pytest.mark.parametrize(
    "data", [b"GET /li", head()[:-2], head(CHAT, LENGTH) + BODY[:5], head(CHAT, CHUNKED) + b"5\r\n", STREAM]
)
@pytest.mark.parametrize("end", ["close", "reset", "half"])
def test_a_client_that_leaves_leaves_nothing_behind(target: Target, data: bytes, end: str) -> None:
    with target.abused(f"{end} after {data[-9:]!r}") as score:
        for _ in range(20):
            score.inputs += 1
            with connected(target) as connection:
                connection.sendall(data)
                if end == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if end == "half":
                    connection.shutdown(socket.SHUT_WR)
                    assert hear(connection).ended
        until(lambda: flying(target) <= 1, "the engine's work is dropped")


def takes(connection: socket.socket, data: bytes, times: int) -> bool:
    with suppress(ConnectionError):
        for _ in range(times):
            connection.sendall(data)
            time.sleep(0.01)
        return True
    return False


def flying(target: Target) -> float:
    metrics = target.server.client.get("/metrics").text
    return float(metrics.split("\nfathom_requests_in_flight ")[1].split("\n")[0])


@pytest.mark.parametrize("more", [1, 1000])
def test_what_comes_behind_a_request_is_not_read(target: Target, more: int) -> None:
    """So that no request can hide in another, and none is made to wait in a queue that nobody bounds."""
    again = head("/version", method="GET") * more
    with target.abused(f"{more} behind it") as score:
        for first in (head(CHAT, LENGTH) + BODY, head("/livez", method="GET")):
            score.inputs += 1
            with connected(target) as connection:
                connection.sendall(first + again)
                heard = hear(connection)
            assert len(heard.statuses) == 1
            assert heard.ended


def test_a_client_that_does_not_stop_sending_is_hung_up_on(target: Target) -> None:
    with target.abused("behind") as score, connected(target) as connection:
        score.inputs += 1
        connection.sendall(STREAM)
        assert not takes(connection, b"x" * 10_000, 1000)
    until(lambda: flying(target) <= 1, "the engine's work is dropped")


def test_a_small_body_that_comes_behind_its_answer_is_thrown_away_and_the_connection_stays(keyed: Keyed) -> None:
    """A client may have written it before it reads the answer, and takes the connection for good."""
    target, _ = keyed
    with target.abused("late body") as score, connected(target) as connection:
        for _ in range(3):
            score.inputs += 1
            connection.sendall(head(CHAT, LENGTH))
            assert hear(connection).statuses == (401,)
            connection.sendall(BODY)
        connection.sendall(head("/version", method="GET"))
        assert hear(connection).statuses == (200,)


def test_who_was_refused_and_sends_the_rest_does_not_keep_the_connection_for_good(keyed: Keyed) -> None:
    target, _ = keyed
    for rest in (BODY, BODY + b"\r\n"):
        with connected(target) as connection:
            connection.sendall(head(CHAT, LENGTH))
            assert hear(connection).statuses == (401,)
            connection.sendall(rest)
            connection.settimeout(20)
            assert connection.recv(1) == b""


def test_a_key_in_a_trailer_is_none(keyed: Keyed) -> None:
    target, headers = keyed
    secret = headers["a"]["Authorization"].encode()
    with connected(target) as connection:
        chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)
        connection.sendall(head(CHAT, CHUNKED) + chunk + b"0\r\nAuthorization: " + secret + b"\r\n\r\n")
        assert hear(connection).statuses == (401,)


def test_what_is_in_a_body_that_is_too_large_is_no_request(target: Target) -> None:
    with target.abused("413") as score, connected(target) as connection:
        score.inputs += 1
        connection.sendall(head(CHAT, b"Content-Length: 100000000") + head("/version", method="GET") * 100)
        heard = hear(connection)
        assert heard.statuses == (413,)
        assert heard.ended


def test_silent_connections_keep_nobody_out(target: Target) -> None:
    """More than there is room for: the oldest give way."""
    with target.abused("crowd") as score, ExitStack() as stack:
        silent = [stack.enter_context(connected(target)) for _ in range(5 * MOST)]
        score.inputs += len(silent)
        assert target.server.client.get("/livez").status_code == 200
        until(lambda: len(target.api.net_connections()) <= MOST + 1, "no more are open")  # the port is one
        assert hear(silent[0]).ended


def test_with_as_many_answers_under_way_as_there_may_be_connections_one_more_is_503(target: Target) -> None:
    score = Score()
    with ExitStack() as stack:
        for _ in range(MOST):
            busy = stack.enter_context(connected(target))
            busy.sendall(STREAM)
            assert busy.recv(8) == b"HTTP/1.1"
        refused = stack.enter_context(connected(target))
        heard = hear(refused)
        assert "\r\nretry-after: 5\r\n" in heard.text
        assert heard.statuses == (503,)
        judge(score, "full", "/v1/models", frozenset({503}), 400, heard.content_type, heard.body)
    until(lambda: flying(target) == 0, "the engine's work is dropped")


def test_connections_that_come_and_go_by_the_thousand_cost_nothing(target: Target) -> None:
    with target.abused("thousands") as score:
        for _ in range(3000):
            score.inputs += 1
            with connected(target):
                pass


def test_nothing_is_left_behind(target: Target) -> None:
    target.settles()
