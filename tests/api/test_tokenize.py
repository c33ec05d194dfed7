import httpx
import pytest
from fathom.core.generation import Chat, ReasoningControl, Text
from fathom.engine.scripted_engine import ScriptedEngine

from tests.openai_schema import check_error
from tests.running import app_running, until

CHAT = [{"role": "user", "content": "hi"}]


class Recording(ScriptedEngine):
    """Remembers what it was to tokenize."""

    async def tokenize(self, prompt, reasoning):
        self.asked = (prompt, reasoning)
        return await super().tokenize(prompt, reasoning)


@pytest.fixture
def engine() -> Recording:
    return Recording()


def tokenize(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/tokenize", json={"model": "scripted", **fields})


def detokenize(client: httpx.Client, tokens: object) -> httpx.Response:
    return client.post("/detokenize", json={"model": "scripted", "tokens": tokens})


def refused_param(response: httpx.Response) -> str:
    assert response.status_code == 400, response.text
    check_error(response.json())
    return response.json()["error"]["param"]


def test_a_text_becomes_token_ids_and_their_count(client):
    assert tokenize(client, prompt="abc").json() == {
        "count": 3,
        "max_model_len": 4096,
        "tokens": [97, 98, 99],
        "token_strs": None,
    }


def test_the_texts_of_the_tokens_and_the_prompt_come_if_asked(client):
    answer = tokenize(client, prompt="aba", return_token_strs=True, return_prompt=True).json()
    assert answer["token_strs"] == ["a", "b", "a"]
    assert answer["prompt"] == "aba"


def test_a_text_begins_with_the_special_token_unless_told_otherwise(client, engine):
    tokenize(client, prompt="abc")
    assert engine.asked == (Text("abc", begins=True), ReasoningControl())
    tokenize(client, prompt="abc", add_special_tokens=False)
    assert engine.asked[0] == Text("abc", begins=False)


def test_a_chat_is_read_as_a_completion_of_it_would_be(client, engine):
    tool = {"type": "function", "function": {"name": "f"}}
    answer = tokenize(client, messages=CHAT, tools=[tool], enable_thinking=False, add_generation_prompt=False)
    assert answer.json()["tokens"] == [104, 105]
    prompt, reasoning = engine.asked
    assert isinstance(prompt, Chat)
    assert [each.name for each in prompt.tools.tools] == ["f"]
    assert not prompt.generates
    assert reasoning.enabled is False


def test_a_last_turn_can_be_continued(client, engine):
    tokenize(client, messages=[*CHAT, {"role": "assistant", "content": "He"}], continue_final_message=True)
    assert engine.asked[0].continues


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": CHAT}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": CHAT, "chat_template_kwargs": 5}, "chat_template_kwargs"),
    ],
)
def test_a_bad_field_is_400_and_named(client, fields, param):
    assert refused_param(tokenize(client, **fields)) == param


def test_half_a_character_is_refused(client):
    content = r'{"model": "scripted", "prompt": "\ud800"}'
    answer = client.post("/tokenize", content=content, headers={"content-type": "application/json"})
    assert refused_param(answer) == "prompt"


def test_token_ids_become_text(client):
    assert detokenize(client, [104, 105]).json() == {"prompt": "hi"}
    assert detokenize(client, []).json() == {"prompt": ""}


@pytest.mark.parametrize(
    ("tokens", "param"),
    [("hi", "tokens"), ([1, -1], "tokens.1"), ([1, 2**31], "tokens.1"), ([True], "tokens.0"), ([0x110000], "tokens")],
)
def test_what_is_no_token_is_refused_where_it_is(client, tokens, param):
    assert refused_param(detokenize(client, tokens)) == param


def test_another_model_is_404(client):
    for path, fields in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})):
        assert client.post(path, json={"model": "other", **fields}).status_code == 404


def test_unknown_fields_are_named(client):
    assert tokenize(client, prompt="a", mood=1).headers["x-fathom-ignored-params"] == "mood"
    assert tokenize(client, messages=CHAT, mood=1).headers["x-fathom-ignored-params"] == "mood"


def test_while_there_is_no_engine_the_phase_is_told():
    class Slow(ScriptedEngine):
        async def start(self, progress):
            raise RuntimeError("no")

    with app_running(Slow()) as client:
        until(lambda: "failure" in client.get("/startupz").json(), "the start has failed")
        assert tokenize(client, prompt="a").status_code == 503
