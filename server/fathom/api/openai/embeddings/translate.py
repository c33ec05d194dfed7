"""Inputs of /v1/embeddings to prompts, and vectors to the body."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from fathom.api.fields import encodable
from fathom.api.openai.embeddings.schemas import EmbeddingsRequest
from fathom.core.engine import Embedding
from fathom.core.generation import Text, TokenIds


def to_prompts(body: EmbeddingsRequest) -> list[Text | TokenIds]:
    """Raises BadRequest for what the schema cannot see."""
    given: Any = body.input
    if isinstance(given, str) or isinstance(given[0], int):
        return [_to_prompt(given, "input")]
    return [_to_prompt(each, f"input.{at}") for at, each in enumerate(given)]


def to_body(embeddings: Sequence[Embedding], body: EmbeddingsRequest) -> bytes:
    encode = _base64 if body.encoding_format == "base64" else _floats
    tokens = sum(embedding.tokens for embedding in embeddings)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": at, "embedding": encode(embedding.vector)}
                for at, embedding in enumerate(embeddings)
            ],
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _to_prompt(value: Any, where: str) -> Text | TokenIds:
    return Text(encodable(value, where)) if isinstance(value, str) else TokenIds(tuple(value))


def _floats(vector: tuple[float, ...]) -> tuple[float, ...]:
    return vector


def _base64(vector: tuple[float, ...]) -> str:
    """Little-endian 32-bit floats, as OpenAI's clients read them."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
