"""JavaScript clients: the SDKs of OpenAI and Anthropic, and Vercel's AI SDK with its providers."""

import json
import subprocess

import pytest

from tests.contract.cases import Forecast
from tests.contract.javascript import FOLDER

SDKS = ["openai.mjs", "openai-responses.mjs", "anthropic.mjs"]
VERCELS = [
    "ai-anthropic.mjs",
    "ai-deepseek.mjs",
    "ai-openai.mjs",
    "ai-openai-compatible.mjs",
    "ai-openai-sealed.mjs",
]
ALL = pytest.mark.parametrize("script", [*SDKS, *VERCELS])
VERCEL = pytest.mark.parametrize("script", VERCELS)
LOOPING = pytest.mark.parametrize("script", [*SDKS[1:], *VERCELS])


@ALL
def test_it_shows_trace_and_answer(run, script):
    result = run(script, "chat")
    assert result["text"]
    assert result["reasoning"]
    assert result.get("requestId", "id")
    assert result.get("reasoningTokens", 1) > 0


@ALL
def test_it_streams_trace_and_answer(run, script):
    whole, streamed = run(script, "chat"), run(script, "stream")
    assert (streamed["text"], streamed["reasoning"]) == (whole["text"], whole["reasoning"])


@VERCEL
def test_its_parts_come_in_order(run, script):
    kinds = run(script, "stream")["kinds"]
    first = [kinds.index(kind) for kind in ("reasoning-start", "reasoning-delta", "text-start", "text-delta", "finish")]
    assert first == sorted(first)
    assert kinds.count("reasoning-start") == kinds.count("text-start") == 1


@ALL
def test_it_calls_a_tool(run, script):
    result = run(script, "tool")
    assert result["reasoning"]
    assert result["calls"]
    for call in result["calls"]:
        Forecast.model_validate(call)


@ALL
def test_it_streams_a_call(run, script):
    result = run(script, "streamedTool")
    assert json.loads("".join(result["pieces"])) == result["calls"][0]
    Forecast.model_validate(result["calls"][0])


@LOOPING
def test_its_tool_loop_reads_the_result(run, script):
    result = run(script, "toolLoop")
    assert "sun" in result["results"]
    assert result["text"]


def test_vercels_loop_refers_to_what_is_kept(run, recorder):
    run("ai-openai.mjs", "toolLoop")
    kinds = [item.get("type") for item in recorder.last.body["input"]]
    assert "item_reference" in kinds
    assert "reasoning" not in kinds


def test_vercels_loop_sends_a_sealed_trace(run, recorder):
    run("ai-openai-sealed.mjs", "toolLoop")
    (trace,) = [item for item in recorder.last.body["input"] if item.get("type") == "reasoning"]
    assert trace["encrypted_content"]
    assert recorder.last.body["store"] is False


def test_vercels_loop_sends_a_signed_trace(run, recorder):
    run("ai-anthropic.mjs", "toolLoop")
    _, turn, _ = recorder.last.body["messages"]
    thinking, *_ = turn["content"]
    assert thinking["type"] == "thinking"
    assert thinking["signature"]


@pytest.mark.parametrize("script", [each for each in (*SDKS, *VERCELS) if each != "ai-deepseek.mjs"])
def test_it_gives_a_structure(run, script):
    result = run(script, "structure")
    Forecast.model_validate(result["object"])
    assert result["reasoning"]


def test_the_sdk_continues_text(run):
    assert run("openai.mjs", "completion")["text"].startswith("The sky is")


@pytest.mark.parametrize("script", ["openai.mjs", "openai-responses.mjs"])
def test_errors_arrive_as_the_sdks_own(run, script):
    result = run(script, "error")
    assert result["missing"] == {"class": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert result["bad"] == {"class": "BadRequestError", "status": 400, "param": "temperature"}


@VERCEL
def test_errors_arrive_as_vercels_own(run, script):
    missing = run(script, "error")["missing"]
    assert (missing["class"], missing["statusCode"]) == ("APICallError", 404)
    assert missing["message"]


def test_the_guard_refuses_other_machines(node):
    fetching = "fetch('http://192.0.2.1/').catch((error) => console.log(error.cause?.message ?? error.message))"
    command = [node, "--import", "./guard.mjs", "--input-type=module", "--eval", fetching]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=30, check=True)
    assert "192.0.2.1 is not this machine" in done.stdout
