import pytest
from fathom.api.openai.responses.items import own_items, references
from fathom.core.errors import BadRequest, Unsupported

from tests.schemas.published import validate
from tests.unit.api.openai.responses.making import SEALS, request

USER = {"role": "user", "content": "Hello"}
PICTURE = {"type": "input_image", "image_url": "https://example.com/cat.png"}


def written(*items, kept=None, taken=()):
    return own_items(request(input=list(items)).input, kept or {}, taken, SEALS)


def without_ids(items):
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


def test_a_string_is_a_users_message():
    items = own_items(request(input="Hello").input, {}, (), SEALS)
    content = [{"type": "input_text", "text": "Hello"}]
    assert without_ids(items) == [{"type": "message", "role": "user", "status": "completed", "content": content}]
    assert items[0]["id"].startswith("msg_")


def test_every_kind_of_item_is_kept_as_openai_lists_it():
    items = written(
        USER,
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes", "annotations": []}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "4"}]},
    )
    assert [item["type"] for item in items] == [
        *("message", "reasoning", "message"),
        *("function_call", "function_call_output"),
    ]
    assert items[4]["output"] == "4"
    listed = {"object": "list", "data": items, "first_id": "a", "last_id": "b", "has_more": False}
    validate("ResponseItemList", listed, set())


def test_a_clients_ids_are_kept_and_others_made():
    items = written({**USER, "type": "message", "id": "msg_mine"}, USER)
    assert items[0]["id"] == "msg_mine"
    assert items[1]["id"] != items[0]["id"]


@pytest.mark.parametrize("taken", [(), ("msg_mine",)])
def test_an_id_that_is_taken_is_not_used_again(taken):
    items = written(*[{**USER, "type": "message", "id": "msg_mine"}] * 3, taken=taken)
    ids = [item["id"] for item in items]
    assert len({*ids, *taken}) == 3 + len(taken)
    assert all(each.startswith("msg_") for each in ids)


def test_a_reference_becomes_the_item_itself():
    kept = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [], "status": "completed"}
    body = request(input=[{"type": "item_reference", "id": "rs_1"}])
    assert references(body.input) == ["rs_1"]
    assert own_items(body.input, {"rs_1": kept}, (), SEALS) == [kept]


def test_an_item_is_referred_to_once():
    body = request(input=[{"type": "item_reference", "id": "rs_1"}, {"id": "rs_1"}])
    with pytest.raises(BadRequest, match="already"):
        own_items(body.input, {"rs_1": {"id": "rs_1", "type": "reasoning"}}, (), SEALS)


def test_a_sealed_trace_is_opened():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALS.seal("Hm")}
    assert written(item)[0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_a_trace_that_came_as_a_summary_is_the_trace():
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
    assert written(item)[0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_a_trace_of_which_nothing_was_kept_stays_empty():
    assert written({"type": "reasoning", "id": "rs_1", "summary": [], "content": []})[0]["content"] == []


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "item_reference", "id": "msg_gone"}, "input.1.id"),
        ({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}, "input.1.encrypted_content"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input.1.content.0"),
        ({"role": "user", "content": "\ud800"}, "input.1"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "\ud800"}, "input.1"),
    ],
)
def test_what_cannot_be_read_is_named(item, param):
    with pytest.raises(BadRequest) as refused:
        written(USER, item)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "user", "content": [{"type": "input_text", "text": "a"}, PICTURE]}, "input.0.content.1"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "input.0.content.0"),
        ({"type": "function_call_output", "call_id": "c", "output": [PICTURE]}, "input.0.output"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "input.0"),
        ({"type": "computer_call_output", "output": {}}, "input.0"),
    ],
)
def test_what_is_no_text_is_refused_by_name(item, param):
    with pytest.raises(Unsupported) as refused:
        written(item)
    assert refused.value.param == param
