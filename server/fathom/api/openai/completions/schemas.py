"""POST /v1/completions: what a client may send. Names and bounds are OpenAI's, and beyond those vLLM's."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from fathom.api.openai.fields import (
    INT64,
    MOST_IDS,
    UNSUPPORTED,
    NonEmpty,
    SamplingFields,
    TokenId,
    UnsupportedSampling,
)

_MOST_PROMPTS = 128


def _shape(prompt: Any) -> str | None:
    match prompt:
        case str():
            return "str"
        case [str(), *_]:
            return "list[str]"
        case [list(), *_]:
            return "list[list[int]]"
        case list():
            return "list[int]"
    return None


_Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_IDS, fail_fast=True)]
_Several = Field(min_length=1, max_length=_MOST_PROMPTS, fail_fast=True)
_ByShape = Discriminator(
    _shape,
    custom_error_type="prompt",
    custom_error_message="Input should be a text, a list of texts, a list of token ids, or a list of such lists",
)
Prompts = Annotated[
    Annotated[NonEmpty, Tag("str")]
    | Annotated[list[NonEmpty], _Several, Tag("list[str]")]
    | Annotated[_Ids, Tag("list[int]")]
    | Annotated[list[_Ids], _Several, Tag("list[list[int]]")],
    _ByShape,
]


class CompletionRequest(SamplingFields, UnsupportedSampling):
    """`max_tokens` 0 with `echo` says the prompt back and nothing more."""

    model: str
    prompt: Prompts
    suffix: str | None = None
    max_tokens: int | None = Field(None, ge=0, lt=INT64)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=0, lt=INT64)
    add_special_tokens: bool | None = None


REFUSED: dict[str, tuple[Any, ...]] = {**UNSUPPORTED}
"""Fields that this server knows and cannot honour, with the values that ask for nothing."""
