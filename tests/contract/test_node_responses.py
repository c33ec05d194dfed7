"""OpenAI's SDK for JavaScript: Responses that are kept, run in the background, and followed again."""

import pytest

SCRIPT = "openai-responses.mjs"


def test_a_background_response_is_polled_to_its_end(run):
    result, whole = run(SCRIPT, "background"), run(SCRIPT, "chat")
    assert result["begun"] in ("queued", "in_progress")
    assert (result["text"], result["reasoning"]) == (whole["text"], whole["reasoning"])


def test_a_background_response_is_cancelled(run):
    assert run(SCRIPT, "cancel") == {"cancelled": "cancelled", "retrieved": "cancelled"}


def test_a_response_is_retrieved_and_deleted(run):
    result = run(SCRIPT, "retrieve")
    assert result["retrieved"] == result["created"]
    assert result["gone"] == {"class": "NotFoundError", "status": 404}


@pytest.mark.parametrize("scenario", ["resume", "resumeLater"], ids=["while it runs", "after its end"])
def test_a_stream_that_was_cut_is_taken_up(run, scenario):
    result = run(SCRIPT, scenario)
    assert result["numbers"] == list(range(len(result["numbers"])))
    assert (result["text"], result["reasoning"]) == (result["whole"]["text"], result["whole"]["reasoning"])


def test_tokens_are_counted(run):
    assert run(SCRIPT, "count")["tokens"] > 0
