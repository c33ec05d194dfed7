"""Messages to token ids, through the model's (or the profile's) chat template."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Message, ReasoningControl
from fathom.models.profiles import Profile, Reasoning

_CUT = "\ufdd0"  # a Unicode noncharacter: never in a chat template, and taken out of client text below
_LONG = 20_000  # characters; above this, rendering leaves the event loop


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` is what the engine reads; `thinking` says whether the model starts inside a trace."""

    ids: list[int]
    thinking: bool


class PromptRenderer:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, profile: Profile) -> None:
        self._tokenizer = tokenizer
        self._profile = profile
        markup = {token for token in tokenizer.get_added_vocab() if token.strip() and len(token) > 1}
        self._markup = re.compile("|".join(map(re.escape, sorted(markup, key=len, reverse=True))) or r"(?!)")

    async def render(self, messages: Sequence[Message], control: ReasoningControl) -> Prompt:
        """Raises BadRequest where the template refuses the messages, Unsupported where thinking can't be set so."""
        if sum(len(message.content) for message in messages) > _LONG:
            return await asyncio.to_thread(self._render, messages, control)
        return self._render(messages, control)

    def _render(self, messages: Sequence[Message], control: ReasoningControl) -> Prompt:
        reasoning = self._profile.reasoning
        thinking = self.thinks(control)
        switch = {reasoning.switch: thinking} if reasoning and reasoning.switch else {}
        text = self._apply_template([self._turn(message) for message in messages], switch)
        if reasoning:
            text = _open_or_close(text, reasoning, thinking)
        ids = [id for piece in text.split(_CUT) for id in self._tokenizer.encode(piece, add_special_tokens=False)]
        opened = bool(reasoning) and text.rstrip().endswith(reasoning.start if reasoning else "")
        return Prompt(ids, opened)

    def thinks(self, control: ReasoningControl) -> bool:
        """Whether this request will have a trace. Raises Unsupported where the family cannot do as asked."""
        reasoning = self._profile.reasoning
        if reasoning is None:
            if control.enabled or control.budget:
                raise Unsupported(
                    "This model does not think: it has no reasoning trace to switch on.", param="thinking"
                )
            return False
        enabled = False if control.budget == 0 else control.enabled
        if enabled is False and not reasoning.can_switch_off:
            raise Unsupported(
                "This model's thinking cannot be switched off; lower its budget instead.", param="thinking"
            )
        return reasoning.default_on if enabled is None else enabled

    def _turn(self, message: Message) -> dict[str, Any]:
        developer = message.role == "developer" and not self._profile.knows_developer_role
        content = message.content
        if message.role == "assistant" and self._profile.reasoning:
            content = content.rpartition(self._profile.reasoning.end)[2].lstrip()  # earlier traces are not replayed
        turn = {"role": "system" if developer else message.role, "content": self._plain(content)}
        return turn | ({"name": self._plain(message.name)} if message.name else {})

    def _plain(self, text: str) -> str:
        """Client text that spells a special token stays text: a cut inside it keeps it from becoming the token."""
        return self._markup.sub(lambda token: token[0][0] + _CUT + token[0][1:], text.replace(_CUT, "\ufffd"))

    def _apply_template(self, turns: list[dict[str, Any]], variables: dict[str, Any]) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                turns,
                chat_template=self._profile.template,
                add_generation_prompt=True,
                tokenize=False,
                **variables,
            )
        except TemplateError as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", param="messages") from None
        except ValueError:
            raise BadRequest(
                "This model has no chat template: it continues text and cannot chat.", param="messages"
            ) from None
        assert isinstance(rendered, str)
        return rendered


def _open_or_close(text: str, reasoning: Reasoning, thinking: bool) -> str:
    opened = text.rstrip().endswith(reasoning.start)
    if thinking and reasoning.opened_by == "template" and not opened:
        return f"{text}{reasoning.start}\n"
    if not thinking and opened:
        return text.rstrip() + reasoning.closing
    if not thinking and not reasoning.switch:
        return text + reasoning.start + reasoning.closing
    return text
