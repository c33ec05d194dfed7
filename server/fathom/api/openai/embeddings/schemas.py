"""What a client may send to /v1/embeddings. Unknown fields are kept, so that they can be named."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from fathom.api.fields import Open
from fathom.api.openai.fields import MOST_IDS, NonEmpty, TokenId

_MOST_INPUTS = 2048

Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_IDS, fail_fast=True)]


def _kind(value: Any) -> str:
    """The tag of the branch of `input` that a value is meant for; what it holds besides is that branch's error."""
    if not isinstance(value, list):
        return "str"
    match value[:1]:
        case [int()]:
            return "list[int]"
        case [list()]:
            return "list[list[int]]"
        case _:
            return "list[str]"


class EmbeddingsRequest(Open):
    """`input`: one text, several, the token ids of one, or of several."""

    model: str
    input: Annotated[
        Annotated[NonEmpty, Tag("str")]
        | Annotated[list[NonEmpty], Field(min_length=1, max_length=_MOST_INPUTS, fail_fast=True), Tag("list[str]")]
        | Annotated[Ids, Tag("list[int]")]
        | Annotated[list[Ids], Field(min_length=1, max_length=_MOST_INPUTS, fail_fast=True), Tag("list[list[int]]")],
        Discriminator(_kind),
    ]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1, lt=2**31)
    user: str | None = None
