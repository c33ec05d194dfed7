"""POST /tokenize and /detokenize: what a client may send. Names are those of vLLM's server."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from fathom.api.fields import Open
from fathom.api.openai.chat.schemas import Conversation
from fathom.api.openai.fields import MOST_IDS, TokenId


class _Wishes(Open):
    """`return_token_strs`: the text of each token, too. `return_prompt`: the prompt as text, special tokens spelled."""

    return_token_strs: bool | None = None
    return_prompt: bool | None = None


class TokenizeText(_Wishes):
    model: str
    prompt: str
    add_special_tokens: bool | None = None


class TokenizeChat(Conversation, _Wishes):
    """A chat's fields that decide what its prompt is. `prompt`: known, so that both at once can be refused."""

    prompt: Any = None


def _shape(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    return "{chat}" if "messages" in body else "{text}"


TokenizeRequest = Annotated[
    Annotated[TokenizeText, Tag("{text}")] | Annotated[TokenizeChat, Tag("{chat}")], Discriminator(_shape)
]
"""Tags are never part of a field's name, so that errors do not show them."""


class DetokenizeRequest(Open):
    model: str
    tokens: list[TokenId] = Field(max_length=MOST_IDS, fail_fast=True)
