"""Prompts to token ids: chats through the model's (or the profile's) chat template, raw text and ids as they are."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fathom.core.errors import BadRequest, ContextLengthExceeded, Unsupported
from fathom.core.generation import Chat, Message, Prompt, ReasoningControl, Text, TokenIds
from fathom.engine import conversation, tool_prompt
from fathom.models.profiles import Profile, Reasoning

Result = TypeVar("Result")

_CUT = "\ufdd0"  # a Unicode noncharacter: never in a chat template, and taken out of client text below
_LONG = 20_000  # characters; above this, rendering leaves the event loop


@dataclass(frozen=True, slots=True)
class Rendered:
    """`ids` is what the engine reads. chat: what follows is a turn, which may have a trace.

    thinking: the model starts inside a trace. thinks: there will be a trace. thought: the prompt holds a closed one.
    continues: the turn began in the prompt.
    """

    ids: list[int]
    chat: bool = False
    thinking: bool = False
    thinks: bool = False
    thought: bool = False
    continues: bool = False


class PromptRenderer:
    """context_length: in tokens. What cannot fit, by its characters alone, is not read: that would take seconds."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, profile: Profile, context_length: int) -> None:
        self._tokenizer = tokenizer
        self._profile = profile
        self._vocabulary = len(tokenizer)
        self._context_length = context_length
        self._longest = max(map(len, tokenizer.get_vocab()))  # characters that a token can be
        markup = {token for token in tokenizer.get_added_vocab() if token.strip() and len(token) > 1}
        self._markup = re.compile("|".join(map(re.escape, sorted(markup, key=len, reverse=True))) or r"(?!)")

    @property
    def tool_parser(self) -> str | None:
        """Who reads the calls of this model; None where its template knows no tools, and ours spells them out."""
        template = self._profile.template or self._tokenizer.chat_template
        knows = isinstance(template, str) and tool_prompt.knows_tools(template)
        return self._profile.tool_parser if knows else None

    async def render(self, prompt: Prompt, control: ReasoningControl) -> Rendered:
        """Raises BadRequest for a prompt the model cannot read, Unsupported where thinking can't be set so."""
        match prompt:
            case Chat():
                return await _elsewhere_if(_size(prompt) > _LONG, lambda: self._chat(prompt, control))
            case Text(text):
                return await _elsewhere_if(len(text) > _LONG, lambda: self._text(prompt))
            case TokenIds(ids):
                if len(ids) > self._context_length:
                    raise ContextLengthExceeded(limit=self._context_length, prompt_tokens=len(ids), param="prompt")
                self.check_ids(ids, "prompt")
                return Rendered(list(ids))

    def check_ids(self, ids: Sequence[int], param: str) -> None:
        """Raises BadRequest for an id that is no token."""
        if not ids or (min(ids) >= 0 and max(ids) < self._vocabulary):
            return
        for at, token_id in enumerate(ids):
            if not 0 <= token_id < self._vocabulary:
                raise BadRequest(
                    f"{token_id} is no token of this model: its ids are 0 to {self._vocabulary - 1}.",
                    param=f"{param}.{at}",
                )

    def thinks(self, control: ReasoningControl) -> bool:
        """Whether this request will have a trace. Raises Unsupported where the family cannot do as asked."""
        reasoning = self._profile.reasoning
        if reasoning is None:
            if control.enabled or control.budget or control.effort:
                raise Unsupported(
                    f"This model does not think: it has no reasoning trace to switch on. Leave {control.param} out.",
                    param=control.param,
                )
            return False
        enabled = False if control.budget == 0 else control.enabled
        if enabled is False and not reasoning.can_switch_off:
            raise Unsupported(
                "This model's thinking cannot be switched off; lower its effort or budget instead.", param=control.param
            )
        if enabled is None and (control.effort or control.budget):
            return True
        return reasoning.default_on if enabled is None else enabled

    def _chat(self, chat: Chat, control: ReasoningControl) -> Rendered:
        reasoning = self._profile.reasoning
        messages, opening = conversation.split(chat, reasoning)
        thinks = self.thinks(control)
        if opening and reasoning:
            thinks = opening.reasoning is not None
        text = self._apply_template(chat, messages, self._variables(chat, control, thinks))
        if reasoning and chat.generates:
            text = _open_or_close(text, reasoning, thinks)
        thinking = reasoning is not None and text.rstrip().endswith(reasoning.start)
        if opening:
            text += conversation.continuation(opening, reasoning, opened=thinking, plain=self._plain)
            thinking = reasoning is not None and opening.in_trace
        thought = reasoning is not None and text.rstrip().endswith(reasoning.end)
        self._check_length(text, chat.param)
        return Rendered(self._encode(text), True, thinking, thinks, thought, continues=opening is not None)

    def _variables(self, chat: Chat, control: ReasoningControl, thinks: bool) -> Mapping[str, Any]:
        variables = {name: self._plain_value(value) for name, value in chat.variables.items()}
        reasoning = self._profile.reasoning
        if reasoning and reasoning.switch:
            variables[reasoning.switch] = thinks
        if reasoning and reasoning.effort and control.effort:
            variables[reasoning.effort] = reasoning.word_for(control.effort)
        return variables

    def _apply_template(self, chat: Chat, messages: Sequence[Message], variables: Mapping[str, Any]) -> str:
        template = self._profile.template or self._template(chat.param)
        try:
            turns = conversation.turns(messages, self._profile, template, self._plain)
            tools = tool_prompt.tool_variables(chat.tools.tools if chat.tools.mode != "none" else (), self._plain)
            if not tool_prompt.knows_tools(template):
                turns, tools = tool_prompt.spell_out(turns, tools), []
            rendered = self._tokenizer.apply_chat_template(
                turns,
                tools=tools or None,  # type: ignore[arg-type] # a list of dictionaries is what templates read
                chat_template=template,
                add_generation_prompt=chat.generates,
                tokenize=False,
                **variables,
            )
        except RecursionError:
            raise BadRequest("The tools or their arguments are nested too deeply.", param="tools") from None
        except (TemplateError, TypeError, ValueError) as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", param=chat.param) from None
        assert isinstance(rendered, str)
        try:
            rendered.encode()
        except UnicodeEncodeError:
            raise BadRequest(
                "The messages or tools hold half of a surrogate pair. Send whole characters.", param=chat.param
            ) from None
        return rendered

    def _template(self, param: str) -> str:
        template = self._tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise BadRequest(
                "This model has no chat template: it continues text and cannot chat. POST /v1/completions does that.",
                param=param,
            )
        return str(template)

    def _text(self, prompt: Text) -> Rendered:
        self._check_length(prompt.text, "prompt")
        if prompt.suffix is None:
            return Rendered(list(self._tokenizer.encode(prompt.text, add_special_tokens=prompt.begins)))
        fim = self._profile.fim
        assert fim, "a suffix is refused where the profile has no tokens for it"
        begin, middle, end = fim
        text = f"{begin}{prompt.text}{middle}{prompt.suffix}{end}"
        return Rendered(list(self._tokenizer.encode(text, add_special_tokens=prompt.begins)))

    def _check_length(self, text: str, param: str) -> None:
        """Raises ContextLengthExceeded for a text of more characters than that many tokens can be."""
        if len(text) > self._longest * self._context_length:
            least = len(text) // self._longest
            raise ContextLengthExceeded(limit=self._context_length, prompt_tokens=least, param=param, at_least=True)

    def _encode(self, text: str) -> list[int]:
        return [id for piece in text.split(_CUT) for id in self._tokenizer.encode(piece, add_special_tokens=False)]

    def _plain(self, text: str) -> str:
        """Client text that spells a special token stays text: a cut inside it keeps it from becoming the token."""
        return self._markup.sub(lambda token: token[0][0] + _CUT + token[0][1:], text.replace(_CUT, "\ufffd"))

    def _plain_value(self, value: Any) -> Any:
        return self._plain(value) if isinstance(value, str) else value


def _open_or_close(text: str, reasoning: Reasoning, thinking: bool) -> str:
    opened = text.rstrip().endswith(reasoning.start)
    if thinking and reasoning.opened_by == "template" and not opened:
        return f"{text}{reasoning.start}\n"
    if not thinking and opened:
        return text.rstrip() + reasoning.closing
    if not thinking and not reasoning.switch:
        return text + reasoning.start + reasoning.closing
    return text


def _size(chat: Chat) -> int:
    """About how many characters it renders to, tools included; each turn costs something of its own."""
    turns = sum(
        100 + len(turn.content) + len(turn.reasoning or "") + sum(len(call.arguments) for call in turn.tool_calls)
        for turn in chat.messages
    )
    return turns + sum(1000 + len(tool.description or "") for tool in chat.tools.tools)


async def _elsewhere_if(long: bool, work: Callable[[], Result]) -> Result:
    """In a thread, if it takes long."""
    return await asyncio.to_thread(work) if long else work()
