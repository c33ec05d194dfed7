"""Input items as they are kept: each a JSON object in OpenAI's words, with an id of its own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from fathom.api.openai.responses.input_schemas import (
    CallItem,
    CallOutputItem,
    InputItem,
    ItemReference,
    MessageItem,
    OtherItem,
    Part,
    ReasoningItem,
)
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.ids import new_id
from fathom.serving.sealing import Seals

Json = dict[str, Any]

_MOST_LEVELS = 100
_KINDS = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def references(items: Sequence[InputItem]) -> list[str]:
    """Ids of the kept items that the input refers to."""
    return [item.id for item in items if isinstance(item, ItemReference)]


def own_items(items: Sequence[InputItem], kept: Mapping[str, Json], taken: Collection[str], seals: Seals) -> list[Json]:
    """The input, with what it refers to (in `kept`, by id) written out. Ids in `taken` are not used again.

    Raises BadRequest for what the schema cannot see, Unsupported for what is no text.
    """
    _refer_once(items)
    used = set(taken)
    written = []
    for at, item in enumerate(items):
        body = storable(_write(item, kept, seals, f"input.{at}"), f"input.{at}")
        if body["id"] in used:
            body["id"] = new_id(_KINDS[body["type"]])
        used.add(body["id"])
        written.append(body)
    return written


def _refer_once(items: Sequence[InputItem]) -> None:
    """Raises BadRequest for an item that is referred to again: some bytes would stand for any number of them."""
    seen: set[str] = set()
    for at, item in enumerate(items):
        if isinstance(item, ItemReference) and item.id in seen:
            raise BadRequest(
                f"input.{at}.id: {item.id!r} is referred to already. Leave it out.", param=f"input.{at}.id"
            )
        seen |= {item.id} if isinstance(item, ItemReference) else set()


def check_outputs(before: Sequence[Json], own: Sequence[Json]) -> None:
    """Raises BadRequest for an output in `own` whose call is nowhere before it."""
    called = {item["call_id"] for item in before if item["type"] == "function_call"}
    for at, item in enumerate(own):
        if item["type"] == "function_call":
            called.add(item["call_id"])
        elif item["type"] == "function_call_output" and item["call_id"] not in called:
            raise BadRequest(
                f"input.{at}.call_id: no function_call before it has the call_id {item['call_id'][:80]!r}. Send the "
                "call, or go on from the response that made it.",
                param=f"input.{at}.call_id",
            )


def storable(value: Any, param: str) -> Any:
    """The value itself. Raises BadRequest if it cannot be kept as JSON."""
    if not _nests(value, _MOST_LEVELS):
        raise BadRequest(f"{param} is nested deeper than {_MOST_LEVELS} levels. Flatten it.", param=param)
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise BadRequest("The text has half of a surrogate pair in it. Send whole characters.", param=param) from None
    return value


def _nests(value: Any, levels: int) -> bool:
    """At most so many levels deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_nests(each, levels - 1) for each in inner)


def _write(item: InputItem, kept: Mapping[str, Json], seals: Seals, where: str) -> Json:
    match item:
        case MessageItem():
            return _message(item, where)
        case CallItem():
            names = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            return _head(item) | names | {"status": item.status or "completed"}
        case CallOutputItem():
            text = _text(item.output, f"{where}.output")
            return _head(item) | {"call_id": item.call_id, "output": text, "status": item.status or "completed"}
        case ReasoningItem():
            return _trace(item, seals, where)
        case ItemReference():
            if item.id not in kept:
                raise BadRequest(f"There is no item {item.id!r} here. Send the item itself.", param=f"{where}.id")
            return dict(kept[item.id])
        case OtherItem():
            raise Unsupported(f"{where}: an item of type {item.type[:40]!r} cannot be read. Leave it out.", param=where)


def _head(item: MessageItem | CallItem | CallOutputItem | ReasoningItem) -> Json:
    return {"id": item.id or new_id(_KINDS[item.type]), "type": item.type}


def _message(item: MessageItem, where: str) -> Json:
    texts = [_text([part], f"{where}.content.{at}") for at, part in enumerate(item.content)]
    if item.role == "assistant":
        parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts]
    else:
        parts = [{"type": "input_text", "text": text} for text in texts]
    return _head(item) | {"role": item.role, "status": item.status or "completed", "content": parts}


def _trace(item: ReasoningItem, seals: Seals, where: str) -> Json:
    """What is sealed is opened. A summary is the trace itself, for clients that keep nothing else."""
    summary = _text(item.summary, f"{where}.summary")
    text = _text(item.content, f"{where}.content") if item.content else None
    if text is None and item.encrypted_content:
        text = seals.open(item.encrypted_content)
        if text is None:
            param = f"{where}.encrypted_content"
            raise BadRequest("This trace was not sealed by this server. Leave the item out.", param=param)
    return _head(item) | {
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "content": [{"type": "reasoning_text", "text": text or summary}] if text or summary else [],
        "status": item.status or "completed",
    }


def _text(parts: Sequence[Part], where: str) -> str:
    return "".join(_part(part, f"{where}.{at}" if len(parts) > 1 else where) for at, part in enumerate(parts))


def _part(part: Part, where: str) -> str:
    match part.type:
        case "input_text" | "output_text" | "text" | "reasoning_text" | "summary_text" if part.text is not None:
            return part.text
        case "refusal" if part.refusal is not None:
            return part.refusal
        case "input_text" | "output_text" | "text" | "reasoning_text" | "summary_text" | "refusal":
            needed = "refusal" if part.type == "refusal" else "text"
            raise BadRequest(f"{where}: a part of type {part.type} needs the field {needed}.", param=where)
        case kind:
            raise Unsupported(f"{where}: this model reads text, and no {kind[:40]!r} part. Leave it out.", param=where)
