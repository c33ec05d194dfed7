"""Several choices, logprobs, token ids and continued turns, on the embedded model and a real engine."""

import json
import time

import pytest

from tests.running import Server

SKY = "Why is the sky blue?"
OFF = {"enable_thinking": False}


def stream(server: Server, text: str, **fields: object) -> list[dict]:
    body = {"model": "smollm2-135m", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": text}]}
    response = server.client.post("/v1/chat/completions", json=body | fields)
    assert response.status_code == 200, response.text
    return [json.loads(line[6:]) for line in response.text.split("\n\n") if line.startswith("data: {")]


def complete(server: Server, *messages: dict, **fields: object) -> dict:
    body = {"model": "smollm2-135m", "temperature": 0, "messages": list(messages), **fields}
    response = server.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_each_choice_is_its_own_and_the_prompt_counts_once(server: Server):
    one = server.chat(SKY, max_tokens=20, temperature=1.2, seed=1, **OFF)
    body = server.chat(SKY, max_tokens=20, temperature=1.2, seed=1, n=3, **OFF)
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts[0][:8] == one["choices"][0]["message"]["content"][:8]  # bf16 sums differ a little from batch to batch
    assert body["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert body["usage"]["completion_tokens"] > one["usage"]["completion_tokens"]


def test_streamed_choices_say_what_whole_ones_say(server: Server):
    fields = {"max_tokens": 30, "temperature": 1.0, "seed": 3, "n": 2}
    whole = server.chat(SKY, **fields)["choices"]
    texts = ["", ""]
    for chunk in stream(server, SKY, **fields):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("reasoning", "") + choice["delta"].get("content", "")
    assert texts == [(c["message"].get("reasoning") or "") + c["message"]["content"] for c in whole]


@pytest.mark.parametrize("thinking", [True, False])
def test_logprobs_spell_the_trace_and_the_answer(server: Server, thinking: bool):
    choice = server.chat(SKY, max_tokens=60, logprobs=True, top_logprobs=3, enable_thinking=thinking)["choices"][0]
    assert (
        "".join(each["token"] for each in choice["logprobs"]["content"]).strip() == choice["message"]["content"].strip()
    )
    trace = choice["logprobs"].get("reasoning_content", [])
    assert "".join(each["token"] for each in trace).strip() == choice["message"].get("reasoning", "")
    for each in [*choice["logprobs"]["content"], *trace]:
        assert bytes(each["bytes"]).decode() == each["token"]
        assert len(each["top_logprobs"]) == 3
        assert each["logprob"] <= 0
        assert each["top_logprobs"][0]["logprob"] >= each["top_logprobs"][1]["logprob"]


def test_streamed_logprobs_are_those_of_the_whole(server: Server):
    fields = {"max_tokens": 40, "logprobs": True, "top_logprobs": 1, "thinking_budget": 10}
    whole = server.chat(SKY, **fields)["choices"][0]["logprobs"]
    streamed: dict[str, list] = {"content": [], "reasoning_content": []}
    for chunk in stream(server, SKY, **fields):
        for choice in chunk["choices"]:
            for name, tokens in streamed.items():
                tokens += (choice["logprobs"] or {}).get(name) or []
    for name, tokens in streamed.items():
        assert [each["token"] for each in tokens] == [each["token"] for each in whole[name]]


def test_without_alternatives_a_logprob_has_none(server: Server):
    content = server.chat("Hi", max_tokens=4, logprobs=True, **OFF)["choices"][0]["logprobs"]["content"]
    assert all(each["top_logprobs"] == [] for each in content)


def test_token_ids_are_those_that_the_usage_counts(server: Server):
    body = server.chat(SKY, max_tokens=40, return_token_ids=True)
    assert len(body["choices"][0]["token_ids"]) == body["usage"]["completion_tokens"]
    assert len(body["prompt_token_ids"]) == body["usage"]["prompt_tokens"]
    text = server.client.post("/detokenize", json={"model": "smollm2-135m", "tokens": body["choices"][0]["token_ids"]})
    assert body["choices"][0]["message"]["content"].strip() in text.json()["prompt"]


@pytest.mark.parametrize("how", [{"continue_final_message": True, "add_generation_prompt": False}, {}])
def test_an_answer_is_continued_where_it_ends(server: Server, how: dict):
    user = {"role": "user", "content": "What is the capital of France?"}
    last = {"role": "assistant", "content": "The capital of France is", **({} if how else {"prefix": True})}
    message = complete(server, user, last, max_tokens=4, **how)["choices"][0]["message"]
    assert message["content"].startswith(" Paris")
    assert "reasoning" not in message


def test_a_trace_is_continued_where_it_ends(server: Server):
    user = {"role": "user", "content": "What is the capital of France?"}
    last = {"role": "assistant", "content": "", "reasoning_content": "The capital of France is", "prefix": True}
    body = complete(server, user, last, max_tokens=40, thinking_budget=12)
    message = body["choices"][0]["message"]
    assert message["reasoning"].startswith(" Paris")
    assert message["content"]
    assert 0 < body["usage"]["completion_tokens_details"]["reasoning_tokens"] <= 12 + 3


def test_a_closed_trace_before_a_prefix_is_in_the_prompt(server: Server):
    user = {"role": "user", "content": "What is the capital of France?"}
    last = {"role": "assistant", "content": "It is", "reasoning_content": "France? Paris.", "prefix": True}
    body = complete(server, user, last, max_tokens=6)
    plain = complete(server, user, {**last, "reasoning_content": None}, max_tokens=6)
    assert "reasoning" not in body["choices"][0]["message"]
    assert body["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]


def test_effort_is_a_share_of_the_limit(server: Server):
    def thought(effort: str) -> int:
        usage = server.chat(SKY, max_tokens=100, reasoning_effort=effort, logit_bias={"2": -100})["usage"]
        return usage["completion_tokens_details"]["reasoning_tokens"]

    assert thought("none") == 0
    assert thought("minimal") == 10 + 3
    assert thought("low") == 20 + 3


def test_how_a_trace_ended_is_told(server: Server):
    def ending(**fields: object) -> str | None:
        return server.chat(SKY, **fields)["choices"][0].get("reasoning_finish_reason")

    assert ending(max_tokens=40, thinking_budget=8) == "budget"
    assert ending(max_tokens=12, thinking_budget=1000) == "length"
    assert ending(max_tokens=8, **OFF) is None


def test_words_can_be_banned_and_tokens_can_end_the_answer(server: Server):
    free = server.chat(SKY, max_tokens=30, return_token_ids=True, **OFF)["choices"][0]
    word = free["message"]["content"].split()[4]
    banned = server.chat(SKY, max_tokens=30, bad_words=[word], **OFF)["choices"][0]["message"]["content"]
    assert f" {word} " not in f" {banned} "
    stop = free["token_ids"][5]
    cut = server.chat(SKY, max_tokens=30, stop_token_ids=[stop], **OFF)["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert free["message"]["content"].startswith(cut["message"]["content"])
    assert len(cut["message"]["content"]) < len(free["message"]["content"])


def test_a_seeded_request_whose_prompt_is_read_in_pieces_is_answered(server: Server):
    """vLLM 0.32 dies of it on a CPU (ADR 0008)."""
    text = f"{time.time()} " + "All work and no play makes Jack a dull boy. " * 300
    body = server.chat(text, max_tokens=6, temperature=1.0, seed=5, **OFF)
    assert body["usage"]["prompt_tokens"] - body["usage"]["prompt_cache_hit_tokens"] > 2048
    assert body["choices"][0]["message"]["content"]
    assert server.client.get("/readyz").status_code == 200
