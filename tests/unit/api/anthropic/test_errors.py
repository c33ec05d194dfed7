import json

import pytest
from fathom.api.anthropic.errors import body, frame
from fathom.core import errors
from fathom.core.errors import BadRequest, ContextLengthExceeded, ServiceError

from tests.messages_schema import check_error


def shape(error: ServiceError) -> dict:
    found = json.loads(body(error, "req_1"))
    check_error(found)
    return found


def with_status(status: int) -> ServiceError:
    error = ServiceError("no")
    error.status = status
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (507, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_the_type_follows_from_the_status(status, kind):
    assert shape(with_status(status)) == {
        "type": "error",
        "error": {"type": kind, "message": "no"},
        "request_id": "req_1",
    }


def test_the_message_names_the_field_once():
    assert shape(BadRequest("It is too long.", param="system.0"))["error"]["message"] == "system.0: It is too long."
    assert shape(BadRequest("system.0 is too long.", param="system.0"))["error"]["message"] == "system.0 is too long."


def test_every_error_that_there_is_has_a_type_that_the_sdk_knows():
    kinds = {errors.ServiceError, *errors.ServiceError.__subclasses__(), *errors.BadRequest.__subclasses__()}
    for kind in kinds - {ContextLengthExceeded}:
        error = kind.__new__(kind)
        ServiceError.__init__(error, "no")
        shape(error)


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_look_for():
    found = shape(ContextLengthExceeded(limit=8192, prompt_tokens=9000))["error"]
    assert found["type"] == "invalid_request_error"
    assert found["message"].startswith("prompt is too long: 9000 tokens > 8191 maximum")


def test_text_that_cannot_be_sent_is_escaped_and_long_text_is_cut():
    assert shape(ServiceError("half \ud800"))["error"]["message"] == "half \\ud800"
    assert len(shape(ServiceError("x" * 5000))["error"]["message"]) == 1000


def test_a_frame_is_an_event_of_its_own():
    assert frame(ServiceError("no"), "req_1") == b"event: error\ndata: " + body(ServiceError("no"), "req_1") + b"\n\n"
