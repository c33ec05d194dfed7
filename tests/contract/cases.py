"""What every client is asked: one question, one tool, one structure, all short enough for a small model on a CPU."""

from typing import Any, Literal

from pydantic import BaseModel

MODEL = "smollm2-135m"
QUESTION = "Why is the sky blue?"
MESSAGES = [{"role": "user", "content": QUESTION}]
TOKENS = 30
CALL_TOKENS = 80
EFFORT = "minimal"  # a tenth of these for the trace


class Forecast(BaseModel):
    """The weather of the next days."""

    city: Literal["Paris", "Rome"]
    days: Literal[1, 2, 3]


PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "enum": [1, 2, 3]},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "forecast", "description": "The weather of the next days.", "parameters": PARAMETERS},
}
FUNCTION = {"type": "function", "strict": True, **TOOL["function"]}  # the same tool in the words of Responses
NAMED = {"type": "function", "function": {"name": "forecast"}}
ASK_TOOL = "What will the weather be in Paris tomorrow?"
TOO_LONG = "word " * 30_000
