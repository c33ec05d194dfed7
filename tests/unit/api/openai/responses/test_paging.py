import pytest
from fathom.api.openai.responses.paging import includes, page
from fathom.core.errors import BadRequest
from starlette.requests import Request

ITEMS = [{"id": f"msg_{number}"} for number in range(5)]


def ids(**how) -> list[str]:
    how = {"after": None, "limit": 2, "order": "asc", **how}
    return [item["id"] for item in page(ITEMS, **how)["data"]]


def asked(query: str) -> set[str]:
    return includes(Request({"type": "http", "query_string": query.encode(), "headers": []}))


def test_the_newest_come_first_unless_asked_otherwise():
    assert ids(order="desc") == ["msg_4", "msg_3"]
    assert ids(order="asc") == ["msg_0", "msg_1"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_make_up_the_whole(order):
    seen, after, more = [], None, True
    while more:
        found = page(ITEMS, after=after, limit=2, order=order)
        assert (found["first_id"], found["last_id"]) == (found["data"][0]["id"], found["data"][-1]["id"])
        seen += found["data"]
        after, more = found["last_id"], found["has_more"]
    assert seen == (ITEMS if order == "asc" else ITEMS[::-1])


def test_behind_the_last_item_there_is_an_empty_page():
    found = page(ITEMS, after="msg_4", limit=2, order="asc")
    assert found == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_an_item_of_elsewhere_is_no_place_to_go_on_from():
    with pytest.raises(BadRequest) as refused:
        ids(after="msg_9")
    assert refused.value.param == "after"


@pytest.mark.parametrize(
    "query",
    [
        "include=reasoning.encrypted_content&include=message.output_text.logprobs",
        "include[]=reasoning.encrypted_content&include[]=message.output_text.logprobs",
        "include=reasoning.encrypted_content,message.output_text.logprobs",
    ],
)
def test_what_to_include_is_read_as_clients_write_it(query):
    assert asked(query) == {"reasoning.encrypted_content", "message.output_text.logprobs"}


def test_an_unknown_include_is_refused():
    with pytest.raises(BadRequest) as refused:
        asked("include=everything")
    assert refused.value.param == "include"
