"""The engine of a running server is killed, or stopped, while thirty-two mixed requests are in it. Their clients see a
pause.

In float32, so that an answer does not depend on what else is in the batch: greedy ones and, on a CPU, seeded ones are
the same to the letter, logprobs included, however often they are asked. On one core: a busy machine makes such an
engine slower, while the threads of several wait for each other until it looks as if it hung.
"""

import http.client
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from fathom.core.engine import Phase

from tests.checked import check_response
from tests.contract.cases import MODEL
from tests.faults.batch import Batch, Expected
from tests.faults.losses import HANGS, KILLS, Fault, Metrics, Outage, engine_of, faults
from tests.faults.scorecard import CARD, Scorecard
from tests.faults.streams import CHAT, COMPLETIONS, LIMIT, MESSAGES, PATIENCE, RESPONSES, body
from tests.readings import Reading
from tests.running import Server, gone, start_server, until

Json = dict[str, Any]

ROUNDS = 2  # without --kills: a kill and a hang
ENDLESS = 1500  # tokens
QUESTION = "Count from one to one thousand, in words. Do not stop before you are there."
BEGUN = {CHAT: '"reasoning_content"', COMPLETIONS: '"text"', MESSAGES: "thinking_delta", RESPONSES: ".delta"}
"""What the first token brings to a stream."""
VERBOSE = {"logprobs": True, "top_logprobs": 20}  # some kilobytes for each token
SETTINGS = {
    "FATHOM_ENGINE__THREADS": str(min(os.sched_getaffinity(0))),
    "FATHOM_ENGINE__MAX_NUM_BATCHED_TOKENS": "256",  # a long prompt takes several steps
    "FATHOM_ENGINE__HANG_TIMEOUT": "8",
    "FATHOM_ENGINE__RESTART_WINDOW": "1",  # each crash is the first
    "FATHOM_HTTP__KEEP_ALIVE": "0.5",
    "FATHOM_HTTP__WRITE_TIMEOUT": "4",
}

pytestmark = pytest.mark.timeout(600)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds: int | None = metafunc.config.getoption("--kills")
    if "fault" in metafunc.fixturenames:
        chance = random.Random(metafunc.config.stash[CARD].seed)
        metafunc.parametrize("fault", faults(rounds or ROUNDS, chance), ids=str)
    if "last_straw" in metafunc.fixturenames:
        metafunc.parametrize("last_straw", [HANGS[0], KILLS[0]] if rounds else [HANGS[0]], ids=str)


@contextmanager
def serving(log: Path, card: Scorecard, **settings: str) -> Iterator[Server]:
    began = time.monotonic()
    server = start_server(
        log, "--dtype", "float32", "--kv-cache-memory", "0.5", "--max-model-len", "2048", **{**SETTINGS, **settings}
    )
    try:
        server.wait_ready()
        card.cold_starts.append(time.monotonic() - began)
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def chance(card: Scorecard) -> random.Random:
    return random.Random(card.seed)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, card: Scorecard) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("victim") / "log", card) as server:
        yield server


@pytest.fixture(scope="module")
def expected(victim: Server) -> Expected:
    """What the requests are answered when nothing is done to their engine."""
    batch = Batch(victim.client)
    batch.end()
    return batch.expected()


def endless(path: str, stream: bool, **fields: Any) -> Json:
    limit = {LIMIT[path]: ENDLESS, "temperature": 0}
    return body(path, QUESTION, stream, **limit, **({} if path == MESSAGES else {"ignore_eos": True}), **fields)


def begin(server: Server) -> list[Reading]:
    """An endless stream of each dialect, and one answer in one piece, which all have begun."""
    bodies = [(path, endless(path, True)) for path in BEGUN] + [(CHAT, endless(CHAT, False))]
    readings = [Reading(server.client, "POST", path, json=asked, timeout=PATIENCE) for path, asked in bodies]
    for path, reading in zip(BEGUN, readings, strict=False):
        reading.until(BEGUN[path], 60)
    until(lambda: Metrics(server.client)("vllm:num_requests_running") >= len(readings), "all are in the engine", 60)
    return readings


@contextmanager
def a_client_that_leaves(server: Server, **fields: Any) -> Iterator[None]:
    """Its stream has begun; it leaves with the block."""
    with server.client.stream("POST", CHAT, json=endless(CHAT, True, **fields)) as response:
        lines = response.iter_lines()  # kept: with it, the connection would end
        assert any(BEGUN[CHAT] in line for line in lines)
        yield


def until_idle(server: Server, seconds: float = 20) -> None:
    """The engine has nothing to do, and nothing in its KV cache that belongs to anyone."""

    def idle() -> bool:
        now = Metrics(server.client)
        names = ("fathom_requests_in_flight", "vllm:num_requests_running", "vllm:kv_cache_usage_perc")
        return not any(now(name) for name in names)

    until(idle, "the engine is idle", seconds)


def test_streams_go_on_in_the_next_engine_when_theirs_is_lost(
    victim: Server, expected: Expected, fault: Fault, chance: random.Random, card: Scorecard
) -> None:
    before = Metrics(victim.client)
    with a_client_that_leaves(victim):
        batch = Batch(victim.client)
        batch.until_come(expected.characters * chance.uniform(0.1, 0.8))
        disturbed = batch.live
        outage = Outage(victim, fault)
        outage.until_noticed()
        check_meanwhile(victim)
    outage.until_over()
    batch.end()
    card.add(fault, batch, expected, outage, len(disturbed))

    batch.check(expected)
    assert len(disturbed) > 10
    assert not [str(each.request) for each in disturbed if not each.kept_alive(outage)]
    assert (outage.lived, outage.phases) == (True, {"restarting"})
    assert engine_of(victim).keys() == outage.lost.keys()
    check_counts(victim, before, batch, fault, sum(each.request.generations for each in disturbed))


def check_meanwhile(server: Server) -> None:
    """There is no engine: what needs one is refused for a while, and what needs none goes on."""
    now = Metrics(server.client)
    assert [phase for phase in Phase if now("fathom_engine_state", phase=str(phase))] == [Phase.RESTARTING]
    for path in BEGUN:
        for stream in (True, False):
            refused = server.client.post(path, json=body(path, QUESTION, stream))
            assert (refused.status_code, "being started again" in refused.text) == (503, True)
            assert int(refused.headers["retry-after"]) >= 1
    assert server.client.post("/tokenize", json={"model": MODEL, "prompt": QUESTION}).status_code == 200
    assert server.client.get("/v1/models").status_code == 200


def check_counts(server: Server, before: Metrics, batch: Batch, fault: Fault, most: int) -> None:
    """Everything is counted once. most: generations that may have been in the lost engine, besides one that was left
    meanwhile."""
    until_idle(server)
    now = Metrics(server.client)

    def rise(name: str, **labels: str) -> float:
        return now(name, **labels) - before(name, **labels)

    answers = [each.answer for each in batch.all if each.answer]
    assert rise("fathom_completion_tokens_total") == sum(answer.made for answer in answers)
    assert rise("fathom_prompt_tokens_total") == sum(answer.read for answer in answers)
    assert rise("fathom_engine_restarts_total") == rise("fathom_engine_restarts_total", reason=fault.reason) == 1
    replayed = "fathom_requests_replayed_total"
    assert 0 < rise(replayed, outcome="finished") <= most
    assert rise(replayed, outcome="aborted") <= 1  # it may have left before it was told that its engine is gone
    assert rise(replayed) == rise(replayed, outcome="finished") + rise(replayed, outcome="aborted")
    assert [phase for phase in Phase if now("fathom_engine_state", phase=str(phase))] == [Phase.READY]


def test_a_request_that_is_in_the_engine_at_two_crashes_fails_and_later_ones_go_on(
    victim: Server, expected: Expected, chance: random.Random, card: Scorecard
) -> None:
    before = Metrics(victim.client)
    first, later = chance.choices(KILLS, k=2)
    poison = begin(victim)
    outage = Outage(victim, first)
    outage.until_over()
    until(lambda: Metrics(victim.client)("vllm:num_requests_running") >= len(poison), "all are in the next engine", 60)
    batch = Batch(victim.client)
    batch.until_come(expected.characters * chance.uniform(0.1, 0.8))
    disturbed = batch.live
    outage = Outage(victim, later)
    for reading in poison:
        reading.to_the_end(30)
        check_failed(reading, "engine_crashed", "died twice")
    outage.until_over()
    batch.end()
    card.faults[str(first)] += 1
    card.add(later, batch, expected, outage, len(disturbed))

    batch.check(expected)
    assert poison[-1].headers["x-should-retry"] == "false"
    kept = victim.client.get(f"{RESPONSES}/{poison[-2].last['response']['id']}").json()
    assert (kept["status"], kept["error"]) == ("failed", poison[-2].last["response"]["error"])
    until_idle(victim)
    crashed = Metrics(victim.client)("fathom_requests_replayed_total", outcome="crashed_again")
    assert crashed - before("fathom_requests_replayed_total", outcome="crashed_again") == len(poison)


def check_failed(reading: Reading, code: str, text: str) -> None:
    """Told in its own dialect, and not by a connection that breaks."""
    assert not reading.broken
    assert not reading.ended_well
    told = json.loads(reading.text) if reading.status != 200 else reading.last
    error = told["response"]["error"] if "response" in told else told["error"]
    assert text in error["message"]
    assert error.get("code", code) == code or "response" in told


def test_a_client_that_leaves_while_its_answer_is_written_frees_its_part_of_the_engine(victim: Server) -> None:
    with a_client_that_leaves(victim):
        assert Metrics(victim.client)("vllm:num_requests_running") == 1
    check_freed(victim)


def test_a_client_that_leaves_while_its_prompt_is_read_frees_its_part_of_the_engine(victim: Server) -> None:
    asked = endless(CHAT, True) | {"messages": [{"role": "user", "content": "word " * 1500}], "max_tokens": 400}
    made = Metrics(victim.client)("vllm:generation_tokens_total")
    with victim.client.stream("POST", CHAT, json=asked):
        until(lambda: Metrics(victim.client)("vllm:kv_cache_usage_perc"), "its prompt is read")
    check_freed(victim)
    assert Metrics(victim.client)("vllm:generation_tokens_total") == made


def check_freed(server: Server) -> None:
    """Long before the request would have ended by itself."""
    left = time.monotonic()
    until_idle(server, 10)
    print(f"free {time.monotonic() - left:.2f} s after its client left")
    until(lambda: server.log.read_text().splitlines()[-1].endswith('"outcome": "aborted"}'), "the log tells")


def connect(server: Server, asked: Json) -> socket.socket:
    """A request whose answer is read when the test wishes; little of it waits on the way."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    content = json.dumps(asked).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    connection.sendall(head.encode() + b"\r\n\r\n" + content)
    return connection


def test_a_client_that_does_not_read_is_closed_and_nobody_waits_for_it(victim: Server) -> None:
    alone = victim.chat(QUESTION, max_tokens=20)["choices"]
    closed = Metrics(victim.client)("fathom_streams_unread_total")
    with connect(victim, endless(CHAT, True, n=8, **VERBOSE)):  # some megabytes fit into the kernel's buffers
        assert victim.chat(QUESTION, max_tokens=20)["choices"] == alone
        until(lambda: Metrics(victim.client)("fathom_streams_unread_total") > closed, "its stream is closed", 180)
        until_idle(victim)
    until(lambda: '"unread": true' in victim.log.read_text(), "the log tells")


def test_a_slow_reader_gets_all_of_its_stream_and_nobody_waits_for_it(victim: Server) -> None:
    alone = victim.chat(QUESTION, max_tokens=20)["choices"]
    with connect(victim, endless(CHAT, True, **VERBOSE) | {"max_tokens": 60}) as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        text = b""
        while piece := response.read(4096):
            text += piece
            time.sleep(0.03)
            if len(text) == 8 * 4096:
                assert victim.chat(QUESTION, max_tokens=20)["choices"] == alone
    assert response.status == 200
    check_response(CHAT, response.status, response.headers["content-type"], text.decode())
    until_idle(victim)


def test_a_crash_too_many_ends_the_server_and_its_streams_with_one_line(
    tmp_path: Path, last_straw: Fault, card: Scorecard
) -> None:
    often = {"FATHOM_ENGINE__RESTARTS": "1", "FATHOM_ENGINE__RESTART_WINDOW": "600"}
    with serving(tmp_path / "log", card, **often) as server:
        first = begin(server)
        Outage(server, KILLS[0]).until_over()
        until(lambda: Metrics(server.client)("vllm:num_requests_running") >= len(first), "all are carried over", 60)
        later = begin(server)
        processes = psutil.Process(server.process.pid).children(recursive=True)
        Outage(server, last_straw)
        for reading in (*first, *later):
            reading.to_the_end(60)
        assert server.process.wait(60) == 1
        until(lambda: gone(processes), "no process is left")
    card.faults |= Counter({"crash loop": card.faults["crash loop"] + 1})
    for reading in first:
        check_failed(reading, "engine_crashed", "died twice")
    for reading in later:
        check_failed(reading, "engine_unavailable", "The engine has failed")
    log = server.log.read_text()
    assert "Traceback" not in log
    line = next(line for line in log.splitlines() if line.startswith("fathom: error: "))
    assert line.startswith("fathom: error: the engine is not started again (2 crashes within 600 s, ")
    assert log.count("fathom: error: ") == 1
