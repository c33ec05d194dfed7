"""A request's system prompt, messages and tools to the canonical prompt."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from fathom.api.anthropic.messages.schemas import Block, Part, PromptRequest
from fathom.api.anthropic.messages.tools import json_text, needed, used_tools
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Chat, Message, Role, ToolCall
from fathom.serving.sealing import Seals

_BLOCKS: dict[Role, set[str]] = {
    "system": {"text"},
    "user": {"text", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}


class _Placed(NamedTuple):
    """A block and its place in the request."""

    where: str
    block: Block


@dataclass(frozen=True, slots=True)
class _Turn:
    """Messages of one role that follow each other."""

    role: Role
    messages: Sequence[Sequence[_Placed]]

    def of(self, *types: str) -> list[_Placed]:
        return [placed for message in self.messages for placed in message if placed.block.type in types]


def chat_prompt(body: PromptRequest, seals: Seals) -> Chat:
    """Raises BadRequest for what the schema cannot see; a trace that is not ours among it."""
    turns = _turns(body)
    _check_results(turns)
    return Chat(
        messages=tuple(message for turn in turns for message in _messages(turn, seals)),
        tools=used_tools(body),
        continues=_continues(turns[-1]),
    )


def _turns(body: PromptRequest) -> list[_Turn]:
    said: list[tuple[Role, list[_Placed]]] = []
    if body.system:
        said.append(("system", _placed(body.system, "system")))
    for at, message in enumerate(body.messages):
        said.append((message.role, _placed(message.content, f"messages.{at}.content")))
    turns = [_Turn(role, [blocks for _, blocks in run]) for role, run in groupby(said, key=itemgetter(0))]
    for turn in turns:
        _check_types(turn)
    return turns


def _placed(blocks: Iterable[Block], where: str) -> list[_Placed]:
    return [_Placed(f"{where}.{at}", block) for at, block in enumerate(blocks)]


def _check_types(turn: _Turn) -> None:
    known = set().union(*_BLOCKS.values())
    for where, block in (placed for message in turn.messages for placed in message):
        if block.type not in known:
            raise _no_text(block.type, where)
        if block.type not in _BLOCKS[turn.role]:
            raise BadRequest(f"{where}: no {block.type} block can be in a message of role {turn.role}.", param=where)


def _no_text(kind: str, where: str) -> Unsupported:
    return Unsupported(f"{where}: this model reads text, and no {kind[:40]!r} block. Leave it out.", param=where)


def _check_results(turns: Iterable[_Turn]) -> None:
    """Every result answers a call that came before it."""
    called: set[str | None] = set()
    for turn in turns:
        for where, block in turn.of("tool_result"):
            if block.tool_use_id not in called:
                raise BadRequest(
                    f"{where}.tool_use_id: no tool_use block before it has this id. A result follows its call.",
                    param=f"{where}.tool_use_id",
                )
        called |= {block.id for _, block in turn.of("tool_use")}


def _continues(last: _Turn) -> bool:
    if last.role != "assistant":
        return False
    if calls := last.of("tool_use"):
        where = calls[-1].where
        raise BadRequest(f"{where}: a call is the end of its turn. Send its tool_result behind it.", param=where)
    return True


def _messages(turn: _Turn, seals: Seals) -> Iterator[Message]:
    results = turn.of("tool_result")
    yield from map(_result, results)
    if turn.role == "assistant":
        traces = [_trace(placed, seals) for placed in turn.of("thinking", "redacted_thinking")]
        calls = tuple(map(_call, turn.of("tool_use")))
        yield Message("assistant", _text(turn), reasoning=_paragraphs(traces) if traces else None, tool_calls=calls)
    elif turn.of("text") or not results:
        yield Message(turn.role, _text(turn))


def _text(turn: _Turn) -> str:
    """Blocks of one message are joined as they are; several messages are paragraphs."""
    return _paragraphs(
        _joined([placed for placed in message if placed.block.type == "text"]) for message in turn.messages
    )


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _joined(parts: Iterable[tuple[str, Part]]) -> str:
    return "".join(needed(part.text, f"{where}.text") for where, part in parts)


def _trace(placed: _Placed, seals: Seals) -> str:
    """Of a block that this server made. One whose trace was left out has it in its signature."""
    where, block = placed
    if block.type == "redacted_thinking":
        trace = seals.open(block.data or "")
    elif block.thinking:
        trace = block.thinking if seals.verify(block.thinking, block.signature or "") else None
    else:
        trace = seals.open(block.signature or "")
    if trace is None:
        field = "data" if block.type == "redacted_thinking" else "signature"
        raise BadRequest(
            f"{where}: the {field} of this {block.type} block is not one that this server made for it. Send the block "
            "back as it came, or leave it out.",
            param=where,
        )
    return trace.strip("\n")


def _call(placed: _Placed) -> ToolCall:
    where, block = placed
    if block.input is None:
        missing = f"{where}.input: it is missing. A call without arguments has the input {{}}."
        raise BadRequest(missing, param=f"{where}.input")
    return ToolCall(
        needed(block.id, f"{where}.id"), needed(block.name, f"{where}.name"), json_text(block.input, f"{where}.input")
    )


def _result(placed: _Placed) -> Message:
    where, block = placed
    parts = [(f"{where}.content.{at}", part) for at, part in enumerate(block.content or [])]
    for place, part in parts:
        if part.type != "text":
            raise _no_text(part.type, place)
    text = ("Error: " if block.is_error else "") + _joined(parts)
    return Message("tool", text, tool_call_id=needed(block.tool_use_id, f"{where}.tool_use_id"))
