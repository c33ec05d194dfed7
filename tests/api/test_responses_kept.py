"""What can be done with a response that is kept."""

import httpx
import pytest
from fathom.api.openai.responses.schemas import ResponsesRequest
from fathom.core.events import Accepted, Finished, TextDelta
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load
from fathom.store import items

from tests.api import responses
from tests.api.keys import bearer, lock, new_key
from tests.api.responses import URL, create, get, resumed, stream, text_of, wait_for
from tests.responses_stream import check_stream, read_events
from tests.running import app_running, until


def input_items(client: httpx.Client, response_id: str, **query: object) -> dict:
    answer = client.get(f"{URL}/{response_id}/input_items", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts(items: list[dict]) -> list[str]:
    return [item["content"][0]["text"] for item in items]


def test_a_background_response_is_queued_and_then_made(client):
    body = create(client, background=True)
    assert (body["status"], body["background"], body["output"]) == ("queued", True, [])
    done = wait_for(client, body["id"], "completed")
    assert text_of(done) == "one two three"
    assert done["created_at"] == body["created_at"]


def test_a_background_response_can_be_watched(client):
    events = stream(client, background=True)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1]["response"] == get(client, events[-1]["response"]["id"])


def test_a_background_response_goes_on_when_its_client_leaves(client, engine):
    engine.delay = 0.05
    body = {"model": "scripted", "input": "one two three", "background": True, "stream": True}
    with client.stream("POST", URL, json=body) as answer:
        first = next(answer.iter_text())
    response_id = read_events(first.split("\n\n")[0] + "\n\n")[0]["response"]["id"]
    assert text_of(wait_for(client, response_id, "completed")) == "one two three"


def test_a_background_response_is_cancelled_while_it_is_made(client, engine):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = create(client, background=True)
    until(lambda: get(client, body["id"])["output"], "there is some output")
    cancelled = client.post(f"{URL}/{body['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["output"][-1]["status"] == "incomplete"
    until(lambda: not engine.running, "the engine has let go of it")
    assert get(client, body["id"]) == cancelled
    assert client.post(f"{URL}/{body['id']}/cancel").json() == cancelled


def test_a_background_response_is_cancelled_while_it_waits():
    engine = ScriptedEngine(responses.never_ends, delay=0.02)
    with app_running(engine, load({"store.background_slots": 1})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        running, waiting = create(client, background=True), create(client, background=True)
        wait_for(client, running["id"], "in_progress")
        cancelled = client.post(f"{URL}/{waiting['id']}/cancel").json()
        assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
        events = resumed(client, waiting["id"], 0)
        assert [event["type"] for event in events] == ["response.queued", "response.cancelled"]


def test_the_stream_of_a_cancelled_response_ends(client, engine):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = create(client, background=True)
    with client.stream("GET", f"{URL}/{body['id']}", params={"stream": True}) as answer:
        pieces = answer.iter_text()
        seen = next(pieces)
        client.post(f"{URL}/{body['id']}/cancel")
        events = read_events(seen + "".join(pieces))
    check_stream(events)
    assert events[-1]["type"] == "response.cancelled"


def test_what_was_completed_cannot_be_cancelled_any_more(client):
    body = wait_for(client, create(client, background=True)["id"], "completed")
    assert client.post(f"{URL}/{body['id']}/cancel").json() == body


def test_only_background_responses_can_be_cancelled(client):
    answer = client.post(f"{URL}/{create(client)['id']}/cancel")
    assert answer.status_code == 400


@pytest.mark.parametrize("background", [False, True])
def test_a_stream_can_be_taken_up_anywhere(client, background):
    events = stream(client, background=background)
    response_id = events[-1]["response"]["id"]
    for after in range(len(events)):
        assert resumed(client, response_id, after) == events[after + 1 :]


def test_a_stream_can_be_taken_up_while_it_runs(client, engine):
    engine.delay = 0.05
    body = create(client, background=True, input="one two three four five six")
    until(lambda: get(client, body["id"])["output"], "there is some output")
    events = resumed(client, body["id"], 2)
    assert [event["sequence_number"] for event in events] == list(range(3, 3 + len(events)))
    assert events[-1]["response"] == get(client, body["id"])


def test_a_failed_background_response_says_why(client, engine):
    def breaks(request):
        yield from (Accepted(7), TextDelta("half"), ValueError("a bug"))

    engine.script = breaks
    body = wait_for(client, create(client, background=True)["id"], "failed")
    assert body["error"]["code"] == "server_error"
    assert body["output"][-1]["status"] == "incomplete"


def test_a_deleted_response_is_gone(client):
    body = create(client)
    assert client.delete(f"{URL}/{body['id']}").json() == {"id": body["id"], "object": "response", "deleted": True}
    for answer in (client.get(f"{URL}/{body['id']}"), client.delete(f"{URL}/{body['id']}")):
        assert answer.status_code == 404
    going_on = client.post(URL, json={"model": "scripted", "input": "x", "previous_response_id": body["id"]})
    assert going_on.status_code == 400
    assert going_on.json()["error"]["param"] == "previous_response_id"


def test_deleting_a_response_ends_it(client, engine):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = create(client, background=True)
    until(lambda: engine.running, "it runs")
    client.delete(f"{URL}/{body['id']}")
    until(lambda: not engine.running, "the engine has let go of it")


def test_input_items_are_listed_in_pages(client):
    words = [f"word {number}" for number in range(5)]
    body = create(client, input=[{"role": "user", "content": word} for word in words])
    listed = input_items(client, body["id"])
    assert texts(listed["data"]) == words[::-1]
    page = input_items(client, body["id"], order="asc", limit=2)
    assert (texts(page["data"]), page["has_more"]) == (words[:2], True)
    rest = input_items(client, body["id"], order="asc", limit=3, after=page["last_id"])
    assert (texts(rest["data"]), rest["has_more"]) == (words[2:], False)


def test_input_items_hold_the_whole_conversation(client):
    first = create(client, input="one")
    second = create(client, input="two", previous_response_id=first["id"])
    items = input_items(client, second["id"], order="asc")["data"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert items[1:3] == first["output"]


def test_sealed_traces_are_included_later_if_they_are_asked_for(client):
    first = create(client, input="one")
    query = {"include[]": "reasoning.encrypted_content"}
    sealed = client.get(f"{URL}/{first['id']}", params=query).json()["output"][0]["encrypted_content"]
    item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    second = create(client, input=[item, {"role": "user", "content": "x"}])
    assert input_items(client, second["id"])["data"][1]["content"][0]["text"] == "Let me think."
    assert "encrypted_content" in input_items(client, second["id"], **query)["data"][1]


@pytest.mark.parametrize("keeping", ["drop", "hash"])
def test_a_trace_that_is_not_to_be_kept_is_seen_by_its_client_alone(keeping):
    with app_running(ScriptedEngine(), load({"store.traces": keeping})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        body, events = create(client), stream(client)
        assert "think" in str(body)
        assert "think" in str(events)
        for response_id in (body["id"], events[-1]["response"]["id"]):
            kept = get(client, response_id)
            assert kept["output"][0]["content"] == []
            assert ("trace_sha256" in kept["output"][0]) == (keeping == "hash")
            assert "think" not in str([kept, resumed(client, response_id, 0)])
        sent_back = create(client, input=[*body["output"], {"role": "user", "content": "x"}])
        assert "think" not in str(input_items(client, sent_back["id"]))


@pytest.fixture
def tenants(client):
    """Headers with a key of each of two tenants, and another of the first one, whose key the client sends."""
    lock(client)
    keys = [bearer(new_key(client, tenant=name)) for name in ("one", "two", "one")]
    client.headers.update(keys[0])
    return keys


def test_what_a_tenant_keeps_is_not_there_for_another(client, tenants):
    one, two, _ = tenants
    kept = create(client, background=True)["id"]
    wait_for(client, kept, "completed")
    missing = kept[:-4] + ("0000" if kept[-4:] != "0000" else "1111")
    calls = [
        ("GET", "/{}", None),
        ("GET", "/{}?stream=true", None),
        ("GET", "/{}?stream=true&starting_after=2", None),
        ("GET", "/{}/input_items", None),
        ("POST", "/{}/cancel", None),
        ("DELETE", "/{}", None),
        ("POST", "", {"model": "scripted", "input": "x", "previous_response_id": "{}"}),
        ("POST", "/input_tokens", {"model": "scripted", "input": "x", "previous_response_id": "{}"}),
    ]
    client.headers.update(two)
    for method, path, body in calls:
        answers = [
            client.request(
                method,
                URL + path.format(each),
                json=body and {name: value.format(each) for name, value in body.items()},
            )
            for each in (kept, missing)
        ]
        assert answers[0].status_code in (400, 404)
        assert answers[0].content.replace(kept.encode(), missing.encode()) == answers[1].content
    client.headers.update(one)
    assert get(client, kept)["status"] == "completed"


def test_another_tenants_items_cannot_be_referred_to(client, tenants):
    item = create(client)["output"][1]["id"]
    client.headers.update(tenants[1])
    answers = [
        client.post(URL, json={"model": "scripted", "input": [{"type": "item_reference", "id": each}]})
        for each in (item, "msg_missing")
    ]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].text.replace(item, "msg_missing") == answers[1].text


def test_keys_of_one_tenant_share_what_it_keeps(client, tenants):
    kept = create(client)
    client.headers.update(tenants[2])
    assert get(client, kept["id"]) == kept


def test_an_empty_answer_is_kept_as_one(client, engine):
    engine.script = lambda request: (Accepted(7), Finished("stop", 7, 1))
    body = create(client)
    assert body["output"] == []
    assert get(client, body["id"]) == body


def test_an_item_can_be_referred_to_once(client):
    item = create(client)["output"][1]["id"]
    twice = [{"type": "item_reference", "id": item}] * 2
    answer = client.post(URL, json={"model": "scripted", "input": twice})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input.1.id")


@pytest.mark.parametrize("field", ["previous_response_id", "input"])
def test_a_request_cannot_stand_for_any_amount_of_stored_text(client, monkeypatch, field):
    monkeypatch.setattr(items, "MOST_TEXT", 1000)
    kept = create(client, input="x" * 1000)
    item = input_items(client, kept["id"])["data"][0]["id"]
    fields = {"input": "go on", field: kept["id"] if field != "input" else [{"type": "item_reference", "id": item}]}
    answer = client.post(URL, json={"model": "scripted", **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_a_response_that_is_still_made_cannot_be_gone_on_from(client, engine):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = create(client, background=True)
    answer = client.post(URL, json={"model": "scripted", "input": "x", "previous_response_id": body["id"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "previous_response_id")
    client.post(f"{URL}/{body['id']}/cancel")


def test_a_stored_request_that_cannot_be_read_any_more_ends(client, engine, monkeypatch):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = create(client, background=True)
    until(lambda: engine.running, "it runs")
    model = ResponsesRequest.model_validate

    def refuse(fields):
        model({**fields, "temperature": "hot"})

    monkeypatch.setattr(ResponsesRequest, "model_validate", refuse)
    other = create(client, background=True)
    assert "version" in wait_for(client, other["id"], "failed")["error"]["message"]
    client.post(f"{URL}/{body['id']}/cancel")
