"""Guessing ahead on the real engine: the same answers, and guesses that are taken."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fathom.settings import default_home

from tests.running import Server, start_server

CIRCLE = "one two three four five six seven eight nine ten. " * 6


def guessed(server: Server) -> dict[str, float]:
    """Tokens that were drafted and accepted, by vLLM's own counters."""
    text = server.client.get("/metrics").text
    found = re.findall(r"^vllm:spec_decode_num_(draft|accepted)_tokens_total\S* (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def complete(server: Server, **fields: object) -> str:
    body = {"model": "smollm2-135m", "prompt": CIRCLE, "max_tokens": 24, "temperature": 0, **fields}
    response = server.client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


@pytest.fixture(scope="module")
def guessing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("speculation") / "log"
    server = start_server(log, "--kv-cache-memory", "0.5", "--speculative", "ngram")
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def test_guesses_are_taken_and_the_greedy_answer_is_the_same(guessing: Server, server: Server):
    assert complete(guessing) == complete(server)
    seen = guessed(guessing)
    assert 0 < seen["accepted"] <= seen["draft"]


def test_traces_and_budgets_are_as_ever(guessing: Server):
    message = guessing.chat("Why is the sky blue?", max_tokens=96, thinking_budget=16)["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["content"]


def test_an_answer_can_follow_a_grammar(guessing: Server):
    schema = {"type": "object", "properties": {"blue": {"type": "boolean"}}, "required": ["blue"]}
    asked = {"type": "json_schema", "json_schema": {"name": "sky", "schema": schema, "strict": True}}
    body = guessing.chat("Is the sky blue?", max_tokens=64, response_format=asked, enable_thinking=False)
    assert json.loads(body["choices"][0]["message"]["content"]) in ({"blue": True}, {"blue": False})


def test_what_does_not_go_with_it_is_refused(guessing: Server):
    response = guessing.client.post(
        "/v1/completions", json={"model": "smollm2-135m", "prompt": "x", "max_tokens": 2, "min_p": 0.1}
    )
    assert response.status_code == 400, response.text
    assert "min_p" in response.json()["error"]["message"]


def test_a_checkpoint_without_heads_ends_the_start_with_one_line(tmp_path: Path):
    server = start_server(tmp_path / "log", "--speculative", "mtp")
    assert server.process.wait(60) == 1
    assert "none (its config.json names no num_nextn_predict_layers)" in server.log.read_text()


def test_a_model_that_guesses_what_it_would_say_itself_is_mostly_right(tmp_path: Path):
    draft = str(default_home() / "models" / "embedded" / "smollm2-135m")
    options = ["--kv-cache-memory", "0.5", "--speculative", "draft", "--draft-model", draft]
    guessing = start_server(tmp_path / "log", draft, *options)
    try:
        guessing.wait_ready()
        assert complete(guessing)
        seen = guessed(guessing)
        assert seen["accepted"] >= 0.5 * seen["draft"] > 0  # the last ones stand behind the limit of tokens
    finally:
        guessing.stop()
