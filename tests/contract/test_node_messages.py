"""Anthropic's SDK for JavaScript: what Messages have beyond other APIs."""

SCRIPT = "anthropic.mjs"


def test_the_streams_helper_gives_the_whole_message(run):
    result = run(SCRIPT, "stream")
    assert result["final"] == {"text": result["text"], "reasoning": result["reasoning"]}
    assert len(result["signatures"]) == 1
    assert result["usage"]["output_tokens"] > 0


def test_thinking_can_be_turned_off(run):
    result = run(SCRIPT, "off")
    assert result["text"]
    assert result["reasoning"] == ""


def test_a_forged_signature_is_refused(run):
    assert run(SCRIPT, "forged")["bad"] == {"class": "BadRequestError", "status": 400}


def test_tokens_are_counted_before_they_are_used(run):
    result = run(SCRIPT, "count")
    assert result["tokens"] == result["used"] > 0


def test_errors_arrive_as_the_sdks_own(run):
    result = run(SCRIPT, "error")
    assert result["missing"] == {"class": "NotFoundError", "status": 404, "type": "not_found_error"}
    assert result["bad"] == {"class": "BadRequestError", "status": 400, "type": "invalid_request_error"}
