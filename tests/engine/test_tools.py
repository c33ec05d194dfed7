"""Tool calls of the embedded model on a real engine: 135M parameters that were never trained for them."""

import json

import jsonschema
import pytest

from tests.engine.test_chat_choices import complete, stream
from tests.running import Server

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 30},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 20}, "count": {"type": "integer"}},
                "required": ["name", "count"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}
SCHEMAS = {"get_weather": WEATHER, "order": ORDER, "now": {"type": "object"}}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "order", "description": "Order food", "parameters": ORDER}},
    {"type": "function", "function": {"name": "now", "description": "The time"}},
]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
USER = {"role": "user", "content": "What is the weather in Paris?"}


def check_calls(message: dict) -> list[dict]:
    calls = message["tool_calls"]
    assert len({call["id"] for call in calls}) == len(calls)
    for call in calls:
        jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMAS[call["function"]["name"]])
    return calls


QUESTIONS = ["What is the weather in Paris?", "Order two pizzas.", "Say hello.", "2 + 2?", "Écris un poème. 🐍"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_required_call_is_valid_whatever_is_asked(server: Server, question: str):
    body = complete(
        server, {"role": "user", "content": question}, tools=TOOLS, tool_choice="required", max_tokens=300,
        temperature=0.6, seed=len(question), thinking_budget=16, parallel_tool_calls=False,
    )  # fmt: skip
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert len(check_calls(choice["message"])) == 1
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning"]


@pytest.mark.parametrize("thinking", [True, False])
def test_a_named_tool_is_called_once(server: Server, thinking: bool):
    body = complete(
        server, {"role": "user", "content": "Hi!"}, tools=TOOLS, tool_choice=NAMED, max_tokens=200,
        enable_thinking=thinking, **({"thinking_budget": 8} if thinking else {}),
    )  # fmt: skip
    calls = check_calls(body["choices"][0]["message"])
    assert [call["function"]["name"] for call in calls] == ["get_weather"]
    assert ("reasoning" in body["choices"][0]["message"]) is thinking


def test_a_streamed_call_is_the_whole_one(server: Server):
    fields = {"tools": TOOLS, "tool_choice": NAMED, "max_tokens": 200, "thinking_budget": 8}
    whole = complete(server, USER, **fields)["choices"][0]["message"]["tool_calls"][0]["function"]
    name, arguments, pieces = "", "", 0
    for chunk in stream(server, USER["content"], **fields):
        for call in chunk["choices"][0]["delta"].get("tool_calls", ()):
            assert call["index"] == 0
            name += call["function"].get("name", "")
            arguments += call["function"]["arguments"]
            pieces += 1
    assert {"name": name, "arguments": arguments} == whole
    assert pieces > 5


def test_every_choice_calls(server: Server):
    body = complete(server, USER, tools=TOOLS, tool_choice=NAMED, n=2, temperature=1.0, seed=1, max_tokens=200,
                    enable_thinking=False)  # fmt: skip
    ids = [check_calls(choice["message"])[0]["id"] for choice in body["choices"]]
    assert len(set(ids)) == 2


def test_a_free_model_may_answer_and_no_markup_is_in_its_answer(server: Server):
    message = complete(server, {"role": "user", "content": "Say hello."}, tools=TOOLS, max_tokens=60)["choices"][0][
        "message"
    ]
    assert message["content"] or message["tool_calls"]
    assert "<tool_call>" not in (message["content"] or "")


def test_without_tools_in_use_none_are_in_the_prompt(server: Server):
    def prompt_tokens(**fields: object) -> int:
        return complete(server, USER, max_tokens=1, **fields)["usage"]["prompt_tokens"]

    assert prompt_tokens(tools=TOOLS, tool_choice="none") == prompt_tokens()
    assert prompt_tokens(tools=TOOLS) > prompt_tokens() + 100


def test_the_call_and_its_result_are_in_the_prompt_of_the_next_turn(server: Server):
    asked = complete(server, USER, tools=TOOLS, tool_choice=NAMED, max_tokens=200, enable_thinking=False)
    message = asked["choices"][0]["message"]
    call = message["tool_calls"][0]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "It is 21 degrees, sunny."}
    conversation = {"messages": [USER, message, result], "tools": TOOLS}
    answer = complete(server, *conversation["messages"], tools=TOOLS, tool_choice="none", max_tokens=20)
    assert answer["choices"][0]["message"]["content"]
    asked_for = {"model": "smollm2-135m", "return_prompt": True, **conversation}
    prompt = server.client.post("/tokenize", json=asked_for).json()["prompt"]
    city = json.loads(call["function"]["arguments"])["city"]
    assert (
        prompt.index(f'"city": "{city}"') < prompt.index("21 degrees") < prompt.index("<|im_start|>assistant\n<think>")
    )


def test_a_cut_call_is_cut_by_length_and_looks_it(server: Server):
    body = complete(server, USER, tools=TOOLS, tool_choice=NAMED, max_tokens=14, enable_thinking=False)
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_schema_that_no_grammar_keeps_is_refused_by_place(server: Server):
    odd = {"type": "object", "properties": {"x": {"type": "number", "multipleOf": 3}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": odd}}]
    body = {"model": "smollm2-135m", "messages": [USER], "tools": tools, "tool_choice": "required"}
    error = server.client.post("/v1/chat/completions", json=body).json()["error"]
    assert error["param"].startswith("tools")
    assert "multipleOf" in error["message"]
