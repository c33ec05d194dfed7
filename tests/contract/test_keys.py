"""The official SDKs with keys: on a server that asks for them, over scripted events."""

import anthropic
import httpx
import openai
import pytest

from tests.api.closed import WRONG
from tests.api.closed import operator as operator
from tests.api.keys import new_key, revoke

MESSAGES = [{"role": "user", "content": "one two three"}]
CHAT = {"model": "scripted", "messages": MESSAGES, "max_tokens": 20}


def openai_client(operator: httpx.Client, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{operator.base_url}/v1", api_key=key, max_retries=0)


def anthropic_client(operator: httpx.Client, **key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=str(operator.base_url), max_retries=0, **key)


def test_openais_sdk_is_let_in_by_its_key(operator):
    with openai_client(operator, new_key(operator)["secret"]) as client:
        assert [model.id for model in client.models.list()] == ["scripted"]
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "one two three"
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
        kept = client.responses.create(model="scripted", input="one two")
        assert client.responses.retrieve(kept.id).output_text == "one two"


async def test_openais_async_sdk_is_let_in_by_its_key(operator):
    async with openai.AsyncOpenAI(
        base_url=f"{operator.base_url}/v1", api_key=new_key(operator)["secret"], max_retries=0
    ) as client:
        assert (await client.chat.completions.create(**CHAT)).choices[0].message.content == "one two three"


@pytest.mark.parametrize("stream", [False, True])
def test_openais_sdk_tells_of_a_wrong_key_and_of_a_missing_scope(operator, stream):
    with openai_client(operator, WRONG) as client, pytest.raises(openai.AuthenticationError) as wrong:
        client.chat.completions.create(**CHAT, stream=stream)
    assert (wrong.value.status_code, wrong.value.code) == (401, "invalid_api_key")
    assert wrong.value.request_id
    assert WRONG not in str(wrong.value)
    secret = new_key(operator, scopes=["admin"])["secret"]
    with openai_client(operator, secret) as client, pytest.raises(openai.PermissionDeniedError) as denied:
        client.chat.completions.create(**CHAT, stream=stream)
    assert (denied.value.status_code, denied.value.code) == (403, "insufficient_permissions")


def test_openais_sdk_does_not_try_a_wrong_key_again(operator):
    before = refusals(operator)
    with (
        openai.OpenAI(base_url=f"{operator.base_url}/v1", api_key=WRONG, max_retries=3) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
    assert refusals(operator) - before == 1


def refusals(operator: httpx.Client) -> float:
    lines = operator.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if "fathom_requests_total" in line and 'status="401"' in line)


def test_openais_sdk_is_shut_out_when_its_key_is_revoked(operator):
    made = new_key(operator)
    with openai_client(operator, made["secret"]) as client:
        client.models.list()
        revoke(operator, made)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


@pytest.mark.parametrize("header", ["api_key", "auth_token"])
def test_anthropics_sdk_is_let_in_by_its_key_in_either_header(operator, header, monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with anthropic_client(operator, **{header: new_key(operator)["secret"]}) as client:
        assert client.messages.create(**CHAT).content[-1].text == "one two three"
        with client.messages.stream(**CHAT) as stream:
            assert stream.get_final_message().content[-1].text == "one two three"
        assert client.messages.count_tokens(model="scripted", messages=MESSAGES).input_tokens > 0


def test_anthropics_sdk_tells_of_a_wrong_key_and_of_a_missing_scope(operator):
    with anthropic_client(operator, api_key=WRONG) as client, pytest.raises(anthropic.AuthenticationError) as wrong:
        client.messages.create(**CHAT)
    assert wrong.value.body["error"]["type"] == "authentication_error"
    assert wrong.value.request_id
    assert WRONG not in str(wrong.value)
    secret = new_key(operator, scopes=["rollouts"])["secret"]
    with anthropic_client(operator, api_key=secret) as client, pytest.raises(anthropic.PermissionDeniedError) as denied:
        client.messages.create(**CHAT)
    assert denied.value.body["error"]["type"] == "permission_error"
