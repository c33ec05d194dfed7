"""Messages to the turns that chat templates read: which traces are replayed, what a continued turn already holds."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.core.generation import Chat, Message
from fathom.engine.tool_prompt import call_names, tool_fields
from fathom.models.profiles import Profile, Reasoning

Plain = Callable[[str], str]
"""Keeps special tokens that a client spelled from becoming tokens."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a turn that is to be continued holds. Without `content`, it goes on inside the trace."""

    reasoning: str | None
    content: str

    @property
    def in_trace(self) -> bool:
        return self.reasoning is not None and not self.content


def split(chat: Chat, reasoning: Reasoning | None) -> tuple[Sequence[Message], Opening | None]:
    """The messages for the template, and the opening of the turn that the model continues, if there is one."""
    if not chat.continues:
        return chat.messages, None
    *earlier, last = chat.messages
    trace, content = _trace_and_content(last, reasoning)
    return earlier, Opening(trace, content)


def continuation(opening: Opening, reasoning: Reasoning | None, *, opened: bool, plain: Plain) -> str:
    """What goes behind the prompt. `opened`: the prompt ends inside a trace."""
    if reasoning is None or opening.reasoning is None:
        return plain(opening.content)
    line = "" if reasoning.format == "harmony" else "\n"
    trace = ("" if opened else f"{reasoning.start}{line}") + plain(opening.reasoning)
    return trace if opening.in_trace else f"{trace.rstrip()}{reasoning.closing}{plain(opening.content)}"


def turns(messages: Sequence[Message], profile: Profile, template: str, plain: Plain) -> list[dict[str, Any]]:
    """Dictionaries as templates want them, tool calls and results among them.

    Traces are dropped between user turns. Those behind the last user turn led to tool calls whose results now come
    in, and are replayed: under the name that the template knows, else as text before the content.
    """
    last_user = max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)
    names = call_names(messages)
    return [
        _turn(message, profile, template, plain, replay=at > last_user) | tool_fields(message, names, plain)
        for at, message in enumerate(messages)
    ]


def _turn(message: Message, profile: Profile, template: str, plain: Plain, *, replay: bool) -> dict[str, Any]:
    developer = message.role == "developer" and not profile.knows_developer_role
    turn: dict[str, Any] = {"role": "system" if developer else message.role}
    if message.name:
        turn["name"] = plain(message.name)
    if message.role != "assistant" or profile.reasoning is None:
        return turn | {"content": plain(message.content)}
    trace, content = _trace_and_content(message, profile.reasoning)
    turn["content"] = plain(content)
    return _replayed(turn, plain(trace), profile.reasoning, template) if trace and replay else turn


def _replayed(turn: dict[str, Any], trace: str, reasoning: Reasoning, template: str) -> dict[str, Any]:
    if reasoning.format == "harmony":  # its template takes one of both beside a call
        return turn | {"thinking": f"{trace}\n\n{turn['content']}".strip(), "content": ""}
    if re.search(r"\.reasoning_content\b|\[.reasoning_content.\]", template):
        return turn | {"reasoning_content": trace}
    return turn | {"content": f"{reasoning.start}\n{trace.strip()}{reasoning.closing}{turn['content']}"}


def _trace_and_content(message: Message, reasoning: Reasoning | None) -> tuple[str | None, str]:
    """A trace comes in a field of its own, or inside the content between delimiters (maybe not closed yet)."""
    if reasoning is None or reasoning.format == "harmony":
        return message.reasoning, message.content
    if message.reasoning is not None and not message.content.lstrip().startswith(reasoning.start):
        return message.reasoning, message.content
    inline, content = _inline_trace(message.content, reasoning)
    return (inline if message.reasoning is None else message.reasoning), content


def _inline_trace(content: str, reasoning: Reasoning) -> tuple[str | None, str]:
    before, closed, after = content.rpartition(reasoning.end)
    if closed:
        return before.partition(reasoning.start)[2] or before, after.lstrip()
    before, opened, after = content.partition(reasoning.start)
    return (after.lstrip(), "") if opened and not before.strip() else (None, content)
