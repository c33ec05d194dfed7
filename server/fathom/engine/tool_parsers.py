"""The one door to vLLM's tool parsers: what they want to be given, and what they say, in our words.

They speak vLLM's own request types, raise whatever they run into, and move between releases. Nothing else imports them.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionToolsParam
from vllm.tool_parsers import ToolParser, ToolParserManager

from fathom.core.errors import StartupError
from fathom.core.generation import Tool

logging.getLogger("vllm.tool_parsers").setLevel(logging.CRITICAL)  # a cut or broken call is no error of the server

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TimeoutError,
    TypeError,
    ValueError,
)


class ParserFailed(Exception):
    """vLLM's parser could not make sense of the text."""


@dataclass(frozen=True, slots=True)
class CallPart:
    """A piece of a call. `index` is the parser's count of calls; `name` comes whole and once."""

    index: int
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Step:
    """What further text brought: answer text, then parts of calls."""

    text: str = ""
    parts: tuple[CallPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole message: its answer text, and each call's name and arguments."""

    text: str
    calls: tuple[tuple[str, str], ...] = ()


def find_parser(name: str, tokenizer: PreTrainedTokenizerBase) -> type[ToolParser]:
    """Raises StartupError for a name that vLLM does not know, or a parser whose tokens the tokenizer lacks."""
    try:
        parser: type[ToolParser] = ToolParserManager.get_tool_parser(name)
        parser(tokenizer)
    except KeyError:
        known = ", ".join(ToolParserManager.list_registered())
        raise StartupError(f"unknown tool parser {name!r}; there are: {known}") from None
    except _FAILURES as error:
        raise StartupError(f"the tool parser {name!r} does not fit this model: {error}") from None
    return parser


def tool_params(tools: Iterable[Tool], *, strict: bool | None = None) -> list[ChatCompletionToolsParam]:
    """Tools in vLLM's type. `strict`: for all of them, instead of what each says."""
    return [
        ChatCompletionToolsParam(
            function={
                "name": tool.name,
                "description": tool.description,
                "parameters": object_schema(tool),
                "strict": tool.strict if strict is None else strict,
            }
        )
        for tool in tools
    ]


def object_schema(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments, which are always an object."""
    if tool.parameters is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "object"} | dict(tool.parameters)


class MessageParser:
    """One of vLLM's parsers, for one message. Raises ParserFailed where that raises anything."""

    def __init__(self, parser_cls: type[ToolParser], tokenizer: PreTrainedTokenizerBase, tools: Sequence[Tool]) -> None:
        self._make = parser_cls
        self._tokenizer = tokenizer
        self._tools = tool_params(tools)
        self._request = ChatCompletionRequest(messages=[], model="", tools=self._tools, skip_special_tokens=False)
        self._parser = self._fresh()
        self._text = ""
        self._ids: list[int] = []

    @property
    def is_one_machine(self) -> bool:
        """Whether it reads a whole message as it reads a stream, so that a second reading (it is slow) says no more."""
        return self._make.engine_based_streaming is True

    def feed(self, text: str, token_ids: Sequence[int]) -> Step:
        before, before_ids = self._text, self._ids
        self._text, self._ids = before + text, [*before_ids, *token_ids]
        try:
            delta = self._parser.extract_tool_calls_streaming(
                before, self._text, text, before_ids, self._ids, token_ids, self._request
            )
        except _FAILURES as error:
            raise ParserFailed(str(error)) from error
        return _step(delta)

    def finish(self) -> Step:
        """What the parser still holds, where it says so."""
        finish = getattr(self._parser, "finish_streaming", None)
        if finish is None:
            return Step()
        try:
            return _step(finish())
        except _FAILURES as error:
            raise ParserFailed(str(error)) from error

    def whole(self, text: str) -> Whole:
        """The message read at once."""
        try:
            found = self._fresh().extract_tool_calls(text, self._request)
        except _FAILURES as error:
            raise ParserFailed(str(error)) from error
        calls = tuple((call.function.name, call.function.arguments) for call in found.tool_calls)
        return Whole(found.content or "", calls) if calls else Whole(text)

    def _fresh(self) -> ToolParser:
        parser = self._make(self._tokenizer, self._tools)
        if hasattr(parser, "skip_reasoning_parsing"):
            parser.skip_reasoning_parsing = True  # the trace was taken out before
        return parser


def _step(delta: Any) -> Step:
    if delta is None:
        return Step()
    parts = tuple(
        CallPart(call.index, call.function.name, call.function.arguments or "")
        for call in delta.tool_calls or ()
        if call.function
    )
    return Step(delta.content or "", parts)
