"""A response that was stored is taken up again as it was drafted."""

import json
from dataclasses import replace

import pytest
from fathom.api.openai.responses import translate
from fathom.api.openai.responses.dialect import StoredResponses
from fathom.api.openai.responses.items import own_items
from fathom.core.errors import BadRequest, ModelNotFound
from fathom.core.events import Finished, ReasoningDelta, TextDelta
from fathom.settings import load
from fathom.store.responses import StoredResponse

from tests.unit.api.openai.responses.making import CARD, SEALS, played, request, shown

DIALECT = StoredResponses(load(), SEALS, lambda: CARD)
BEFORE = own_items(request(input="Earlier").input, {}, (), SEALS)


def stored(cut: int = 0, **fields) -> StoredResponse:
    body = request(background=True, **fields)
    items = own_items(body.input, {}, (), SEALS)
    row = {"body": translate.wishes(body), "items": items, "cut": cut}
    whole = json.loads(json.dumps([translate.to_body(body, "resp_1", CARD), row]))
    return StoredResponse("resp_1", "me", "queued", True, 0, 0, None, whole[0], whole[1], next_number=2)


def test_the_engine_is_asked_for_the_same():
    fields = {
        "model": "poet",
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f"}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}},
        "logit_bias": {"5": 1.5},
        "reasoning": {"max_tokens": 7},
    }
    body = request(background=True, **fields)
    row = stored(**fields)
    expected = translate.to_generation(body, [*BEFORE, *row.request["items"]], "resp_1-1", "poet")
    assert DIALECT.generation(row, BEFORE, "resp_1-1") == replace(expected, patient=True)


def test_what_was_cut_stays_cut():
    messages = DIALECT.generation(stored(cut=1), BEFORE, "resp_1-1").prompt.messages
    assert [message.content for message in messages] == ["Hello"]


def test_frames_go_on_where_they_ended_and_the_trace_is_shown_as_asked():
    one = DIALECT.transcript(stored(reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"]))
    frames = [
        *one.started(),
        *one.take(ReasoningDelta("Hm")),
        *one.take(TextDelta("x")),
        *one.take(Finished("stop", 1, 1)),
    ]
    assert frames[0].number == 2
    item = shown(frames)[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert SEALS.open(item["encrypted_content"]) == "Hm"


def test_the_row_is_not_changed_by_its_transcript():
    row = stored()
    played(DIALECT.transcript(row), [Finished("stop", 1, 1)])
    assert row.body["status"] == "queued"


def test_a_response_of_which_only_the_body_is_left_can_still_be_ended():
    one = DIALECT.transcript(replace(stored(), request=None))
    one.cancel()
    assert one.body()["status"] == "cancelled"


def test_a_model_that_is_not_served_any_more_cannot_respond():
    with pytest.raises(ModelNotFound):
        DIALECT.generation(stored(model="gone"), [], "resp_1-1")


def nested(levels: int) -> dict:
    return {"a": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt_cache_options", nested(200)),
        ("tools", [{"type": "function", "name": "f", "parameters": nested(200)}]),
    ],
)
def test_what_cannot_be_kept_is_refused(name, value):
    with pytest.raises(BadRequest) as refused:
        translate.wishes(request(**{name: value}))
    assert refused.value.param == name


def test_numbers_of_any_size_are_kept():
    tools = [{"type": "function", "name": "f", "parameters": {"maximum": 10**400}}]
    assert translate.wishes(request(tools=tools))["tools"] == tools
