"""Which checker a response goes to, by its path, its status and its type."""

import json

import pytest

from tests.checked import check_response
from tests.unit import test_messages_schema as messages
from tests.unit import test_messages_stream, test_responses_stream
from tests.unit import test_openai_schema as openai
from tests.unit import test_responses_schema as responses

DELETED = {"id": "resp_1", "object": "response", "deleted": True}


def sent(events) -> str:
    return "".join(map(test_responses_stream.frame, events))


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/v1/chat/completions", 200, openai.COMPLETION),
        ("/v1/completions", 200, openai.TEXT),
        ("/v1/embeddings", 200, openai.EMBEDDINGS),
        ("/v1/models", 200, openai.MODELS),
        ("/v1/models/m", 200, openai.MODELS["data"][0]),
        ("/v1/responses", 200, responses.RESPONSE),
        ("/v1/responses/resp_1", 200, responses.FAILED),
        ("/v1/responses/resp_1", 200, DELETED),
        ("/v1/responses/resp_1/cancel", 200, responses.RESPONSE),
        ("/v1/responses/resp_1/input_items?limit=2", 200, responses.ITEMS),
        ("/v1/responses/input_tokens", 200, {"object": "response.input_tokens", "input_tokens": 3}),
        ("/v1/responses/resp_1", 404, openai.ERROR),
        ("/v1/messages", 200, messages.MESSAGE),
        ("/v1/messages/count_tokens", 200, {"input_tokens": 3}),
        ("/v1/messages/count_tokens", 404, messages.ERROR),
    ],
)
def test_whole_bodies_are_checked_by_their_path(target, status, body):
    check_response(target, status, "application/json", json.dumps(body))
    with pytest.raises((AssertionError, KeyError)):
        check_response(target, status, "application/json", json.dumps({"other": body}))


@pytest.mark.parametrize(
    ("target", "events"),
    [
        ("/v1/responses", test_responses_stream.RIGHT),
        ("/v1/responses/resp_1?stream=true", test_responses_stream.RIGHT),
        ("/v1/responses/resp_1?stream=true&starting_after=4", test_responses_stream.RIGHT[5:]),
        ("/v1/messages", test_messages_stream.RIGHT),
    ],
)
def test_streams_are_checked_by_their_path(target, events):
    check_response(target, 200, "text/event-stream; charset=utf-8", sent(events))
    with pytest.raises(AssertionError):
        check_response(target, 200, "text/event-stream", sent(events[:-1]))


def test_other_paths_are_not_ours_to_check():
    check_response("/metrics", 200, "text/plain", "fathom_up 1")
