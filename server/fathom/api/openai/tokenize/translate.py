"""Tokenize requests to canonical prompts."""

from fathom.api.fields import encodable
from fathom.api.openai.chat.prompt import chat_prompt
from fathom.api.openai.controls import control
from fathom.api.openai.tokenize.schemas import TokenizeChat, TokenizeText
from fathom.core.errors import BadRequest
from fathom.core.generation import Prompt, ReasoningControl, Text


def to_prompt(body: TokenizeText | TokenizeChat) -> tuple[Prompt, ReasoningControl]:
    """What a completion or a chat with these fields would read. Raises BadRequest for what the schema cannot see."""
    if isinstance(body, TokenizeChat):
        if body.prompt is not None:
            raise BadRequest("prompt and messages are both there. Send one of them.", param="prompt")
        return chat_prompt(body), control(body)
    return Text(encodable(body.prompt, "prompt"), body.add_special_tokens is not False), ReasoningControl()
