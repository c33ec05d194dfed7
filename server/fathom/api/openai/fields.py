"""What chat and text completions share: fields with their bounds, stated once, and what they mean to the engine.

SamplingFields                             the mixin; a request adds its prompt, its logprobs and its own limits
SamplingOptions                            the part of it that says how tokens are drawn
to_sampling(body, max_tokens=, logprobs=)  -> Sampling
structure_of(body)                         -> Structure | None, from response_format or structured_outputs
response_structure(response_format)        -> Structure | None
to_structure(structured_outputs)           -> Structure | None
tier_of(service_tier)                      -> Tier
TokenId, MOST_CHOICES                      bounds that other requests need, too
UnsupportedSampling, UNSUPPORTED           vLLM's fields that we know and refuse, and what passes, for `refuse`
"""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, Field

from fathom.api.fields import Open, at_most
from fathom.api.fields import encodable as encodable
from fathom.core.errors import BadRequest
from fathom.core.generation import Sampling, Structure, Tier

INT64 = 2**63
MOST_CHOICES = 128
"""Choices of one request, over all its prompts."""

_TIERS: dict[str, Tier] = {"flex": "flex", "priority": "priority", "fast": "priority", "ultrafast": "priority"}
MOST_BIASES = 4096
MOST_IDS = 1 << 20
"""Token ids of one list."""

_MOST_METADATA = 16
_MOST_STOPS = 4
_MOST_WORDS = 64

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], at_most(_MOST_METADATA)
]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
NonEmpty = Annotated[str, Field(min_length=1)]


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class StreamOptions(Open):
    include_usage: bool = False


class StructuredOutputs(Open):
    """vLLM's. Exactly one of them. `json`: a JSON Schema; it and `structural_tag` may also come as JSON text."""

    regex: str | None = None
    choice: list[NonEmpty] | None = Field(None, min_length=1, fail_fast=True)
    grammar: str | None = None
    json_: Any = Field(None, alias="json")
    structural_tag: Any = None


class JsonSchemaFormat(Open):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: Any = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Open):
    """OpenAI's. A schema is always followed, `strict` or not."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class SamplingOptions(Open):
    """How tokens are drawn. Names and bounds are OpenAI's, and beyond those vLLM's. null is the same as leaving a field
    out."""

    min_tokens: int | None = Field(None, ge=0, lt=INT64)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=-1, lt=2**31)
    min_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    repetition_penalty: float | None = Field(None, gt=0, le=10, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-INT64, lt=INT64)
    stop: (
        Annotated[Annotated[list[NonEmpty], Field(max_length=_MOST_STOPS, fail_fast=True)], BeforeValidator(_as_list)]
        | None
    ) = None
    stop_token_ids: list[TokenId] | None = Field(None, max_length=_MOST_WORDS, fail_fast=True)
    bad_words: list[Annotated[NonEmpty, Field(max_length=200)]] | None = Field(
        None, max_length=_MOST_WORDS, fail_fast=True
    )
    logit_bias: (
        Annotated[
            dict[
                Annotated[int, Field(strict=False, ge=0, lt=2**31)],
                Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)],
            ],
            at_most(MOST_BIASES),
        ]
        | None
    ) = None
    ignore_eos: bool | None = None


class SamplingFields(SamplingOptions):
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    user: str | None = None

    max_tokens: int | None = Field(None, ge=1, lt=INT64)
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    return_token_ids: bool | None = None

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class UnsupportedSampling(BaseModel):
    prompt_embeds: Any = None
    use_beam_search: Any = None
    length_penalty: Any = None
    truncate_prompt_tokens: Any = None
    allowed_token_ids: Any = None
    logprob_token_ids: Any = None
    include_stop_str_in_output: Any = None
    skip_special_tokens: Any = None


UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "prompt_embeds": (),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "truncate_prompt_tokens": (),
    "allowed_token_ids": (),
    "logprob_token_ids": (),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
}
"""With the values that ask for nothing."""


def tier_of(asked: str | None) -> Tier:
    """Of OpenAI's names, those that ask for no other speed than the usual are the default."""
    return _TIERS.get(asked or "", "default")


def to_sampling(body: SamplingOptions, *, max_tokens: int | None, logprobs: int | None) -> Sampling:
    return Sampling(
        max_tokens=max_tokens,
        min_tokens=body.min_tokens or 0,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=body.repetition_penalty,
        seed=body.seed,
        stop=tuple(body.stop or ()),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        bad_words=tuple(body.bad_words or ()),
        logit_bias=body.logit_bias or {},
        ignore_eos=bool(body.ignore_eos),
        logprobs=logprobs,
    )


def structure_of(body: SamplingFields) -> Structure | None:
    """Raises BadRequest if both fields ask for a structure."""
    asked, also = response_structure(body.response_format), to_structure(body.structured_outputs)
    if asked and also:
        raise BadRequest(
            "response_format and structured_outputs both say what the answer must match. Send one of them.",
            param="structured_outputs",
        )
    return asked or also


def response_structure(response_format: ResponseFormat | None) -> Structure | None:
    """Raises BadRequest for a json_schema without its schema."""
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return Structure("json_object")
    asked = response_format.json_schema
    if asked is None or asked.schema_ is None:
        raise BadRequest(
            "A response_format of type json_schema needs json_schema.name and json_schema.schema.",
            param="response_format.json_schema" if asked is None else "response_format.json_schema.schema",
        )
    param = "response_format.json_schema.schema"
    return Structure("json_schema", _schema(asked.schema_, param), param)


def to_structure(structured_outputs: StructuredOutputs | None) -> Structure | None:
    """Raises BadRequest unless exactly one kind is given."""
    if structured_outputs is None:
        return None
    kinds: dict[str, Any] = {
        "regex": structured_outputs.regex,
        "choice": structured_outputs.choice,
        "grammar": structured_outputs.grammar,
        "json": structured_outputs.json_,
        "structural_tag": structured_outputs.structural_tag,
    }
    given = [kind for kind, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise BadRequest(
            f"structured_outputs takes exactly one of {', '.join(kinds)}, but it has {' and '.join(given) or 'none'}.",
            param="structured_outputs",
        )
    value, param = kinds[given[0]], f"structured_outputs.{given[0]}"
    match given[0]:
        case "regex" | "grammar" as kind:
            return Structure(kind, encodable(value, param), param)
        case "choice":
            return Structure("choice", tuple(value), param)
        case "json":
            return Structure("json_schema", _schema(_read(value, param), param), param)
        case _:
            return Structure("structural_tag", _object(_read(value, param), param), param)


def _read(value: Any, param: str) -> Any:
    """JSON text is read; what is there already is taken as it is."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(encodable(value, param))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"{param} is not valid JSON: {error}.", param=param) from None


def _schema(value: Any, param: str) -> Any:
    return value if isinstance(value, bool) else _object(value, param)


def _object(value: Any, param: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be a JSON object, and not {type(value).__name__}.", param=param)
    return value
