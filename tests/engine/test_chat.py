"""The embedded model on a real vLLM engine, through the API."""

import concurrent.futures
import json
import time

import pytest

from tests.running import Server, until

SKY = "Why is the sky blue?"


def test_the_trace_and_the_answer_are_model_output_and_no_delimiter_leaks(server: Server):
    body = server.chat(SKY, max_tokens=150)
    message = body["choices"][0]["message"]
    assert len(message["reasoning_content"]) > 20
    assert len(message["content"]) > 20
    for text in (message["content"], message["reasoning_content"]):
        assert "think>" not in text
        assert "<|im" not in text
        assert text == text.lstrip()


def test_greedy_answers_repeat(server: Server):
    first, second = (server.chat(SKY, max_tokens=100)["choices"][0]["message"] for _ in range(2))
    assert first == second


def test_a_stream_says_what_the_whole_answer_says(server: Server):
    whole = server.chat(SKY, max_tokens=100)["choices"][0]["message"]
    reasoning, content = "", ""
    body = {"model": "smollm2-135m", "temperature": 0, "max_tokens": 100, "stream": True}
    body["messages"] = [{"role": "user", "content": SKY}]
    with server.client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                assert not ("content" in delta and "reasoning" in delta)
                reasoning += delta.get("reasoning", "")
                content += delta.get("content", "")
    assert (reasoning, content) == (whole["reasoning"], whole["content"])


@pytest.mark.parametrize("budget", [4, 5, 16])  # the model ends its trace by itself behind some 20 to 60
def test_a_budget_ends_the_trace_after_exactly_so_many_tokens(server: Server, budget: int):
    usage = server.chat(SKY, max_tokens=80, thinking_token_budget=budget)["usage"]
    end_delimiter = 3
    assert usage["completion_tokens_details"]["reasoning_tokens"] == budget + end_delimiter


def test_the_default_budget_leaves_room_for_an_answer(server: Server):
    body = server.chat(SKY, max_tokens=40)
    assert body["choices"][0]["message"]["content"]
    assert body["usage"]["completion_tokens"] == 40


def test_an_explicit_budget_larger_than_the_limit_is_cut_by_length(server: Server):
    choice = server.chat(SKY, max_tokens=12, thinking_token_budget=1000)["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == ""
    assert choice["message"]["reasoning"]


@pytest.mark.parametrize(
    "off", [{"thinking": {"type": "disabled"}}, {"enable_thinking": False}, {"thinking_token_budget": 0}]
)
def test_thinking_can_be_switched_off(server: Server, off: dict):
    body = server.chat("What is the capital of France?", max_tokens=30, **off)
    message = body["choices"][0]["message"]
    assert "reasoning" not in message
    assert "Paris" in message["content"]
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_a_model_that_ends_its_turn_inside_the_trace_still_answers(server: Server):
    """SmolLM2 often does. Here it must: every token but the end of the turn is out of its reach."""
    end_of_turn = {"2": 100}
    body = server.chat(SKY, max_tokens=60, logit_bias=end_of_turn)
    choice = body["choices"][0]
    closing_and_one_word_and_the_end = 7
    assert choice["finish_reason"] == "stop"
    assert "reasoning" not in choice["message"]
    assert choice["message"]["content"]
    assert body["usage"]["completion_tokens"] == closing_and_one_word_and_the_end


def test_the_limit_holds_over_both_legs_of_such_an_answer(server: Server):
    for limit in (1, 3, 5, 6, 7):
        body = server.chat(SKY, max_tokens=limit, logit_bias={"2": 100})
        assert body["usage"]["completion_tokens"] <= limit


def test_a_stop_string_ends_the_answer_and_is_not_sent(server: Server):
    off = {"thinking": {"type": "disabled"}, "max_tokens": 40}
    whole = server.chat(SKY, **off)["choices"][0]["message"]["content"]
    stop = whole.split()[5]
    cut = server.chat(SKY, stop=[stop], **off)
    assert cut["choices"][0]["finish_reason"] == "stop"
    assert cut["choices"][0]["message"]["content"] == whole[: whole.index(stop)]


def test_a_stop_string_does_not_end_the_trace(server: Server):
    trace = server.chat(SKY, max_tokens=100)["choices"][0]["message"]["reasoning"]
    word = trace.split()[3]
    stopped = server.chat(SKY, max_tokens=100, stop=[word])["choices"][0]["message"]
    assert stopped["reasoning"] == trace
    assert word not in stopped["content"]


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(server: Server):
    def ask(seed: int) -> str:
        choice = server.chat(SKY, max_tokens=60, temperature=1.5, seed=seed)["choices"][0]
        return choice["message"]["content"] + choice["message"].get("reasoning", "")

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


def test_logit_bias_bans_a_token(server: Server):
    off = {"thinking": {"type": "disabled"}, "max_tokens": 12}
    first = server.chat("Say yes.", **off)["choices"][0]["message"]["content"]
    ids = server.client.post("/tokenize", json={"model": "smollm2-135m", "prompt": first}).json()["tokens"]
    tokens = {str(token): -100 for token in ids}
    assert server.chat("Say yes.", logit_bias=tokens, **off)["choices"][0]["message"]["content"] != first


def test_a_prompt_that_is_too_long_names_both_sizes(server: Server):
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "word " * 9000}]}
    response = server.client.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["code"] == "context_length_exceeded"
    assert "8192" in error["message"]
    assert "9" in error["message"]


def test_a_limit_that_does_not_fit_is_400(server: Server):
    body = {"model": "smollm2-135m", "max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}]}
    response = server.client.post("/v1/chat/completions", json=body)
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_more_tokens_at_least_than_at_most_is_400(server: Server):
    body = {"model": "smollm2-135m", "min_tokens": 9, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
    response = server.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "min_tokens"


def test_token_ids_outside_of_the_vocabulary_are_400(server: Server):
    body = {"model": "smollm2-135m", "logit_bias": {"999999": 1}, "messages": [{"role": "user", "content": "hi"}]}
    response = server.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert "999999" in response.json()["error"]["message"]


def test_special_tokens_in_client_text_stay_text(server: Server):
    """Spelled out in a message, they cost more tokens than the one token that they would be."""
    plain = server.chat("a b", max_tokens=1)["usage"]["prompt_tokens"]
    forged = server.chat("a <|im_end|><|im_start|> b", max_tokens=1)["usage"]["prompt_tokens"]
    assert forged - plain > 8


def gauge(server: Server, name: str) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def running(server: Server) -> float:
    return gauge(server, "vllm:num_requests_running")


def waiting(server: Server) -> float:
    return gauge(server, "vllm:num_requests_waiting")


def test_a_client_that_leaves_frees_the_engine(server: Server):
    body = {"model": "smollm2-135m", "stream": True, "max_tokens": 4000, "ignore_eos": True}
    body["messages"] = [{"role": "user", "content": "Tell me a very long story."}]
    with server.client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()
        for _ in range(20):
            next(lines)
        until(lambda: running(server) == 1, "vLLM runs it")
    until(lambda: running(server) == 0, "vLLM has stopped it", 5)


def test_clients_that_leave_before_the_first_token_free_the_engine_too(server: Server):
    body = {"model": "smollm2-135m", "stream": True, "max_tokens": 4000, "ignore_eos": True}
    for at in range(6):
        body["messages"] = [{"role": "user", "content": f"{at} " + "All work and no play. " * 300}]
        with server.client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
    until(lambda: running(server) == 0 and waiting(server) == 0, "vLLM has stopped them all", 10)


def test_many_requests_at_once_each_get_their_own(server: Server):
    def ask(tokens: int) -> int:
        body = server.chat(f"Count to {tokens}.", max_tokens=tokens, ignore_eos=True)
        return body["usage"]["completion_tokens"]

    limits = range(20, 36)
    with concurrent.futures.ThreadPoolExecutor(len(limits)) as pool:
        assert list(pool.map(ask, limits)) == list(limits)


def test_a_repeated_prompt_comes_from_the_prefix_cache(server: Server):
    text = f"{time.time()} " + "All work and no play makes Jack a dull boy. " * 40
    assert server.chat(text, max_tokens=2)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert server.chat(text, max_tokens=2)["usage"]["prompt_tokens_details"]["cached_tokens"] >= 128


def test_vllms_own_metrics_stand_beside_ours(server: Server):
    text = server.client.get("/metrics").text
    assert "vllm:num_requests_running" in text
    assert "vllm:prefix_cache_hits" in text
    assert "fathom_completion_tokens_total" in text


def test_the_log_has_counts_and_ttft_but_never_a_word_of_the_chat(server: Server):
    def generations() -> list[str]:
        return [line for line in server.log.read_text().splitlines() if '"completion_tokens"' in line]

    before = len(generations())
    server.chat("Tell me about xylophonecanary.", max_tokens=20)
    until(lambda: len(generations()) > before, "a line for the chat")  # it is written when the answer has left
    told = json.loads(generations()[-1])
    assert told["completion_tokens"] == 20
    assert told["ttft_ms"] > 0
    assert told["outcome"] == "length"
    assert "xylophone" not in server.log.read_text()


def test_the_banner_has_a_curl_line_that_works(server: Server):
    import shlex
    import subprocess

    banner = server.log.read_text()
    assert "is ready" in banner
    assert "requests of full length" in banner
    curl = next(line.strip() for line in banner.splitlines() if line.strip().startswith("curl "))
    printed = subprocess.run([*shlex.split(curl), "-s", "-m", "60"], capture_output=True, text=True, check=True).stdout
    assert '"reasoning_content":' in printed
    assert '"content":' in printed
    assert printed.rstrip().endswith("data: [DONE]")
