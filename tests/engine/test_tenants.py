"""Tenants on a real engine: their queue in front of it, and its cache, which they do not share."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from fathom.core.batch import AHEAD

from tests.bench.servers import fathom
from tests.running import until

SEQS = 2
LONG = "The river under the stone bridge carries rain over the hills. " * 40


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    patient = {"http.write_timeout": 300}  # with clients that do not read, on any machine
    with fathom(SEQS, **patient) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield client


def ask(client: httpx.Client, tenant: str | None, prompt: str, **fields: object) -> httpx.Response:
    body = {"model": "smollm2-135m", "prompt": prompt, "max_tokens": 4, **fields}
    answer = client.post("/v1/completions", json=body, headers={"x-api-key": tenant} if tenant else {})
    assert answer.status_code == 200, answer.text
    return answer


def cached(client: httpx.Client, tenant: str | None, prompt: str) -> int:
    usage = ask(client, tenant, prompt).json()["usage"]
    count: int = usage["prompt_tokens_details"]["cached_tokens"]
    return count


def test_a_prompt_is_cached_for_the_tenant_that_sent_it_and_for_no_other(client: httpx.Client):
    assert [cached(client, "one", LONG) > 0 for _ in range(2)] == [False, True]
    assert [cached(client, "two", LONG) > 0 for _ in range(2)] == [False, True]
    assert cached(client, "one", LONG) > 0


def test_without_keys_all_share_what_is_cached(client: httpx.Client):
    assert [cached(client, None, "Once more: " + LONG) > 0 for _ in range(2)] == [False, True]


def test_the_engine_gets_what_it_can_batch_and_the_rest_waits_for_it(client: httpx.Client):
    waited: list[float] = []

    def look() -> None:
        text = client.get("/metrics").text
        waited.extend(float(count) for count in re.findall(r"^vllm:num_requests_waiting\{.*\} (.+)$", text, re.M))

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, client, f"t{at % 3}", f"Story {at}", max_tokens=12) for at in range(12)]
        while not all(each.done() for each in asked):
            look()
            time.sleep(0.1)
        answers = [each.result() for each in asked]
    assert max(waited) <= AHEAD
    assert sum("x-fathom-queue-ms" in answer.headers for answer in answers) >= 12 - SEQS - AHEAD
    assert {answer.json()["usage"]["completion_tokens"] for answer in answers} <= set(range(1, 13))


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{name}(?:\{{.*\}})? (.+)$", client.get("/metrics").text, re.M)
    assert found
    return float(found[1])


def test_answers_that_are_over_and_not_read_keep_nobody_out(client: httpx.Client):
    """More than the kernel holds for a client that reads nothing."""
    asked = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "Count to a thousand."}], "stream": True}
    verbose = {"max_tokens": 200, "ignore_eos": True, "logprobs": True, "top_logprobs": 20}
    body = json.dumps({**asked, **verbose}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with ExitStack() as stack:
        for _ in range(SEQS + AHEAD):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((client.base_url.host, client.base_url.port or 80))
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: metric(client, "fathom_requests_in_flight") == SEQS + AHEAD, "all are under way")
        until(lambda: metric(client, "vllm:num_requests_running") == 0, "the engine has nothing to do", 120)
        ask(client, None, "Another")
        assert metric(client, "fathom_requests_in_flight") == SEQS + AHEAD, "they were read"


def test_what_vllm_would_not_take_is_refused_before_it_waits(client: httpx.Client):
    body = {"model": "smollm2-135m", "prompt": "x", "max_tokens": 4, "logit_bias": {"999999": 1}, "stream": True}
    refused = client.post("/v1/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logit_bias")
