import json
import time

import httpx
import pytest
from fathom.core.errors import ContextLengthExceeded, EngineUnavailable
from fathom.core.events import Accepted, Echo, Finished, TextDelta, TokenLogprob, Tokens
from fathom.core.generation import Structure, Text, TokenIds
from fathom.engine.scripted_engine import ScriptedEngine, text_of
from fathom.settings import load

from tests.openai_schema import check_error, check_text_completion
from tests.openai_stream import check_text_stream, read_events
from tests.running import app_running, until


def body(**fields: object) -> dict[str, object]:
    return {"model": "scripted", "prompt": "one two", **fields}


def post(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/completions", json=body(**fields))


def whole(client: httpx.Client, **fields: object) -> dict:
    response = post(client, **fields)
    assert response.status_code == 200, response.text
    check_text_completion(response.json())
    return response.json()


def streamed(client: httpx.Client, **fields: object) -> list[dict]:
    response = post(client, stream=True, **fields)
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    chunks = read_events(response.text)
    check_text_stream(chunks)
    return chunks


def refusal(response: httpx.Response) -> dict:
    assert response.status_code == 400, response.text
    check_error(response.json())
    return response.json()["error"]


def logprob(text: str, value: float | None, *top: TokenLogprob) -> TokenLogprob:
    return TokenLogprob(ord(text[0]), text.encode(), value, top)


def spelling(request):
    """Says " a" and "b" in each choice, with all that a request may ask for besides."""
    prompt = text_of(request.prompt)
    with_logprobs = request.sampling.logprobs is not None
    yield Accepted(len(prompt), tuple(map(ord, prompt)) if request.token_ids else None)
    if request.echo:
        told = [logprob(char, -1.0 if at else None) for at, char in enumerate(prompt)]
        yield Echo(prompt, tuple(told) if with_logprobs else ())
    for choice in range(request.n):
        for piece in (" a", "b"):
            if request.token_ids:
                yield Tokens((ord(piece[0]),), choice)
            told = (logprob(piece, -0.5, logprob("c", -0.25)),) if with_logprobs else ()
            yield TextDelta(piece, choice, told)
        if request.token_ids:
            yield Tokens((0,), choice)
        yield Finished("length", len(prompt), 3, cached_tokens=1, choice=choice)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(spelling)


def test_a_completion_has_text_and_usage(client):
    completion = whole(client)
    assert completion["id"].startswith("cmpl-")
    assert completion["choices"] == [{"index": 0, "text": " ab", "logprobs": None, "finish_reason": "length"}]
    assert completion["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "prompt_cache_hit_tokens": 1,
        "prompt_cache_miss_tokens": 6,
    }


def test_a_stream_has_a_chunk_for_each_piece_and_one_for_its_end(client):
    chunks = streamed(client)
    steps = [chunk["choices"][0] for chunk in chunks]
    assert [(step["text"], step["finish_reason"]) for step in steps] == [(" a", None), ("b", None), ("", "length")]
    assert all("usage" not in chunk for chunk in chunks)


def test_a_stream_tells_its_usage_at_the_end_if_asked(client):
    chunks = streamed(client, stream_options={"include_usage": True})
    assert chunks[-1]["usage"] == whole(client)["usage"]


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", [Text("a")]),
        (["a", "b"], [Text("a"), Text("b")]),
        ([1, 2], [TokenIds((1, 2))]),
        ([[1, 2], [3]], [TokenIds((1, 2)), TokenIds((3,))]),
    ],
)
def test_a_prompt_of_any_kind_reaches_the_engine(client, engine, prompt, prompts):
    whole(client, prompt=prompt)
    assert sorted((request.prompt for request in engine.requests), key=str) == sorted(prompts, key=str)


def test_special_tokens_are_left_out_of_a_text_if_asked(client, engine):
    whole(client, prompt="a", add_special_tokens=False)
    assert engine.requests[0].prompt == Text("a", begins=False)


def test_several_prompts_with_several_choices_each_are_numbered_prompt_by_prompt(client):
    completion = whole(client, prompt=["x", "yy", "zzz"], n=2, echo=True)
    assert [choice["text"] for choice in completion["choices"]] == [
        "x ab", "x ab", "yy ab", "yy ab", "zzz ab", "zzz ab"
    ]  # fmt: skip
    assert completion["usage"]["prompt_tokens"] == 6
    assert completion["usage"]["completion_tokens"] == 18
    assert completion["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}


def test_several_prompts_are_streamed_as_they_come():
    with app_running(ScriptedEngine(spelling, delay=0.02)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        chunks = streamed(client, prompt=["x", "y"])
    indices = [chunk["choices"][0]["index"] for chunk in chunks]
    assert sorted(indices) == [0, 0, 0, 1, 1, 1]
    assert indices != sorted(indices)


def test_the_prompt_is_said_back_with_the_logprobs_of_its_tokens(client):
    [choice] = whole(client, prompt="xy", echo=True, logprobs=1)["choices"]
    assert choice["text"] == "xy ab"
    assert choice["logprobs"] == {
        "tokens": ["x", "y", " a", "b"],
        "token_logprobs": [None, -1.0, -0.5, -0.5],
        "top_logprobs": [None, {"y": -1.0}, {"c": -0.25, " a": -0.5}, {"c": -0.25, "b": -0.5}],
        "text_offset": [0, 1, 2, 4],
    }


def test_offsets_count_characters_over_all_chunks(client):
    chunks = streamed(client, prompt="xy", echo=True, logprobs=0)
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks] == [[0, 1], [2], [4], []]


def test_token_ids_come_with_their_pieces_and_the_prompts_once(client):
    [choice] = whole(client, prompt="xy", return_token_ids=True)["choices"]
    assert (choice["prompt_token_ids"], choice["token_ids"]) == ([120, 121], [32, 98, 0])
    steps = [chunk["choices"][0] for chunk in streamed(client, prompt="xy", return_token_ids=True)]
    assert [step["token_ids"] for step in steps] == [[32], [98], [0]]
    assert [step.get("prompt_token_ids") for step in steps] == [[120, 121], None, None]


def test_max_tokens_is_16_unless_given(client, engine):
    for fields in ({}, {"max_tokens": None}, {"max_tokens": 3}, {"max_tokens": 0, "echo": True}):
        whole(client, **fields)
    assert [request.sampling.max_tokens for request in engine.requests] == [16, 16, 3, 0]


def test_parameters_reach_the_engine(client, engine):
    whole(
        client,
        n=2,
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        min_p=0.1,
        min_tokens=2,
        presence_penalty=1,
        frequency_penalty=-1,
        repetition_penalty=1.1,
        seed=3,
        stop="END",
        stop_token_ids=[5],
        bad_words=["no"],
        logit_bias={"5": -100},
        ignore_eos=True,
        structured_outputs={"regex": "a+"},
        user="me",
    )
    request, sampling = engine.requests[0], engine.requests[0].sampling
    assert (request.n, request.structure) == (2, Structure("regex", "a+", "structured_outputs.regex"))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 7, 0.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.repetition_penalty) == (1, -1, 1.1)
    assert (sampling.seed, sampling.min_tokens, sampling.logit_bias) == (3, 2, {5: -100})
    assert (sampling.stop, sampling.stop_token_ids, sampling.bad_words) == (("END",), (5,), ("no",))
    assert sampling.ignore_eos
    assert sampling.logprobs is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt.1"),
        ({"prompt": [[1], []]}, "prompt.1"),
        ({"prompt": ["a", 1]}, "prompt.1"),
        ({"prompt": [1, "a"]}, "prompt.1"),
        ({"prompt": [1, -1]}, "prompt.1"),
        ({"prompt": [1, True]}, "prompt.1"),
        ({"prompt": [[1], [2, 2**31]]}, "prompt.1.1"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 65, "n": 2}, "n"),
        ({"n": 129}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop_token_ids": [1] * 65}, "stop_token_ids"),
        ({"bad_words": ["a"] * 65}, "bad_words"),
        ({"bad_words": [""]}, "bad_words.0"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
    ],
)
def test_a_bad_field_is_400_and_named(client, engine, fields, param):
    for stream in (False, True):
        assert refusal(post(client, stream=stream, **fields))["param"] == param
    assert engine.requests == []


def test_half_a_character_is_refused_where_it_is(client):
    for fields, param in ((r'"a\ud800"', "prompt"), (r'["a", "\ud800"]', "prompt.1")):
        content = f'{{"model": "scripted", "prompt": {fields}}}'
        answer = client.post("/v1/completions", content=content, headers={"content-type": "application/json"})
        assert refusal(answer)["param"] == param


def test_many_bad_token_ids_are_refused_fast(client):
    began = time.monotonic()
    assert refusal(post(client, prompt=[-1] * 1_000_000))["param"] == "prompt.0"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("suffix", "b", "fill in the middle"),
        ("best_of", 2, "total probability"),
        ("use_beam_search", True, "cannot do it"),
        ("prompt_embeds", "AAAA", "cannot do it"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name_and_with_the_reason(client, name, value, reason):
    error = refusal(post(client, **{name: value}))
    assert (error["param"], error["code"]) == (name, "unsupported_value")
    assert reason in error["message"]


def test_the_harmless_value_of_such_a_field_passes(client):
    whole(client, suffix="", best_of=2, n=2, use_beam_search=False)


def test_a_suffix_reaches_a_model_that_can_fill_in_the_middle(engine):
    engine.fills = True
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        whole(client, prompt="a", suffix="c")
        assert engine.requests[0].prompt == Text("a", suffix="c")
        assert refusal(post(client, prompt=[1], suffix="c"))["param"] == "suffix"
        assert refusal(post(client, echo=True, suffix="c"))["param"] == "suffix"


def test_unknown_fields_are_named_or_refused_by_a_strict_server(client):
    assert post(client, mood="good").headers["x-fathom-ignored-params"] == "mood"
    with app_running(ScriptedEngine(spelling), load({"http.strict": True})) as strict:
        until(lambda: strict.get("/readyz").status_code == 200, "ready")
        assert refusal(post(strict, mood="good"))["code"] == "unknown_parameter"


def test_another_model_is_404(client):
    assert post(client, model="other").json()["error"]["code"] == "model_not_found"


def test_one_refused_prompt_refuses_the_request_by_its_place_and_aborts_the_others():
    def script(request):
        if text_of(request.prompt) == "long":
            yield ContextLengthExceeded(limit=8, prompt_tokens=9, param="prompt")
        yield from spelling(request)

    engine = ScriptedEngine(script, delay=0.01)
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        for stream in (False, True):
            error = refusal(post(client, prompt=["a", "b", "long"], stream=stream))
            assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt.2")
        until(lambda: not engine.running, "the other requests are aborted", 1)


def test_an_error_in_the_middle_is_a_frame_and_the_stream_does_not_look_complete():
    def script(_request):
        yield from (Accepted(1), TextDelta("half"), EngineUnavailable("the engine died"))

    with app_running(ScriptedEngine(script)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        frames = post(client, stream=True).text.split("\n\n")
    assert json.loads(frames[-2].removeprefix("data: "))["error"]["message"] == "the engine died"
    assert not any("[DONE]" in frame for frame in frames)


def test_the_headers_leave_before_the_first_token():
    def script(_request):
        yield Accepted(1)
        time.sleep(1)
        yield from (TextDelta("late"), Finished("stop", 1, 1))

    with app_running(ScriptedEngine(script, delay=0.01)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        began = time.monotonic()
        with client.stream("POST", "/v1/completions", json=body(stream=True)) as response:
            assert response.status_code == 200
            assert time.monotonic() - began < 0.9
            assert next(response.iter_lines()).startswith("data: ")
            assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_aborts_every_prompt(stream):
    def script(request):
        yield Accepted(1)
        yield from (TextDelta("word ") for _ in range(500))

    engine = ScriptedEngine(script, delay=0.02)
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        if stream:
            with client.stream("POST", "/v1/completions", json=body(prompt=["a", "b"], stream=True)) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=body(prompt=["a", "b"]), timeout=0.3)
        until(lambda: len(engine.aborted) == 2 and not engine.running, "both requests are aborted", 1)
