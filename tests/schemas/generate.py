"""Writes openai.json: what OpenAI's published API document says of the bodies that we send, as JSON Schema.

    python tests/schemas/generate.py openapi.json --commit SHA     # the file of github.com/openai/openai-openapi

Only structural facts are kept: names, types, required names, enums and references. Its texts are left out.
"""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

ROOTS = (
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateCompletionResponse",
    "CreateEmbeddingResponse",
    "ListModelsResponse",
    "Model",
    "ErrorResponse",
    "Response",
    "ResponseStreamEvent",
    "ResponseItemList",
    "TokenCountsResource",
)
# Of these unions only the branches that we send are kept; the others fail.
SENT = {
    "ItemResource": {
        "FunctionToolCallOutputResource",
        "FunctionToolCallResource",
        "InputMessageResource",
        "OutputMessage",
        "ReasoningItem",
    },
    "FunctionAndCustomToolCallOutput": {"InputTextContent"},
    "InputContent": {"InputTextContent"},
    "OutputContent": {"OutputTextContent", "ReasoningTextContent"},
    "OutputItem": {"FunctionToolCall", "OutputMessage", "ReasoningItem"},
    "OutputMessageContent": {"OutputTextContent"},
    "ResponseStreamEvent": {
        "ResponseCompletedEvent",
        "ResponseContentPartAddedEvent",
        "ResponseContentPartDoneEvent",
        "ResponseCreatedEvent",
        "ResponseFailedEvent",
        "ResponseFunctionCallArgumentsDeltaEvent",
        "ResponseFunctionCallArgumentsDoneEvent",
        "ResponseInProgressEvent",
        "ResponseIncompleteEvent",
        "ResponseOutputItemAddedEvent",
        "ResponseOutputItemDoneEvent",
        "ResponseQueuedEvent",
        "ResponseReasoningSummaryPartAddedEvent",
        "ResponseReasoningSummaryPartDoneEvent",
        "ResponseReasoningSummaryTextDeltaEvent",
        "ResponseReasoningSummaryTextDoneEvent",
        "ResponseReasoningTextDeltaEvent",
        "ResponseReasoningTextDoneEvent",
        "ResponseTextDeltaEvent",
        "ResponseTextDoneEvent",
    },
    "Tool": {"FunctionTool"},
    "ToolChoiceParam": {"ToolChoiceAllowed", "ToolChoiceFunction", "ToolChoiceOptions"},
}
# Whatever refers to these is left out of our bodies, or empty, or null.
NEVER_SENT = {
    "Annotation",
    "InputItem",
    "Moderation",
    "Prompt",
    "PromptCacheBreakpointConfig",
    "PromptCacheOptions",
    "ResponseConversation",
    "ToolCallCaller",
    "ToolCallCallerParam",
}
PREFIX = "#/components/schemas/"
UNIONS = ("anyOf", "oneOf")  # validated alike: a discriminator's job is done by the enums of the branches
TARGET = Path(__file__).with_name("openai.json")


def structure(schema: dict[str, Any], sent: Collection[str] | None = None) -> Any:
    """The schema without its texts, in plain JSON Schema. `sent`: the only branches of its union that are kept."""
    if name_of(schema) in NEVER_SENT:
        return False
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("type", "required", "enum"):
            kept[key] = value
        elif key == "$ref":
            kept[key] = f"#/$defs/{name_of(schema)}"
        elif key in UNIONS:
            kept["anyOf"] = [structure(branch) for branch in value if sent is None or name_of(branch) in sent]
        elif key == "allOf":
            kept[key] = [structure(part) for part in value]
        elif key == "properties":
            kept[key] = {name: structure(each) for name, each in value.items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            kept[key] = structure(value)
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") else kept


def name_of(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).removeprefix(PREFIX)


def references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"].rpartition("/")[2]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(references, schema.values()))


def closure(document: dict[str, Any]) -> dict[str, Any]:
    """ROOTS and everything that they refer to."""
    definitions: dict[str, Any] = {}
    wanted = set(ROOTS)
    while missing := wanted - definitions.keys():
        for name in missing:
            definitions[name] = structure(document["components"]["schemas"][name], SENT.get(name))
            wanted |= references(definitions[name])
    return dict(sorted(definitions.items()))


def trimmed(document: dict[str, Any], commit: str) -> dict[str, Any]:
    source = f"OpenAI's OpenAPI document, version {document['info']['version']}, github.com/openai/openai-openapi"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"Structural facts of {source} at {commit}. Written by generate.py; not to be edited.",
        "$defs": closure(document),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write openai.json from OpenAI's OpenAPI document.")
    parser.add_argument("document", type=Path, help="openapi.json")
    parser.add_argument("--commit", required=True, help="where the document comes from")
    arguments = parser.parse_args()
    facts = trimmed(json.loads(arguments.document.read_text()), arguments.commit)
    TARGET.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
