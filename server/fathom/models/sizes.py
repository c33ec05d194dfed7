"""How large a model is, by the headers of its weights: parameters, bytes, and how many bytes one token reads.

A tensor's part in the model is told by its name, as Transformers and llama.cpp name them.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fathom.models import facts
from fathom.models.schemes import Scheme
from fathom.models.weights import Tensor, bytes_per_dtype


class Role(StrEnum):
    """EMBEDDING: of which a token reads one row. ATTENTION_INPUTS (q, k and v), LINEAR, EXPERTS: what can be quantized.
    ASIDE: images, sounds, and layers that guess ahead (MTP), which text is made without."""

    EMBEDDING = "embedding"
    HEAD = "head"
    ATTENTION_INPUTS = "attention inputs"
    LINEAR = "linear"
    EXPERTS = "experts"
    OTHER = "other"
    ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class Part:
    parameters: int = 0
    bytes: int = 0

    def __add__(self, other: "Part") -> "Part":
        return Part(self.parameters + other.parameters, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Sizes:
    """`expert_share` is the share of the routed experts that one token uses, 1.0 for a dense model."""

    parts: Mapping[Role, Part]
    bytes_by_dtype: Mapping[str, int]
    expert_share: float = 1.0

    @property
    def parameters(self) -> int:
        return sum(part.parameters for role, part in self.parts.items() if role is not Role.ASIDE)

    @property
    def active_parameters(self) -> int:
        """What one token uses, as model cards count it: with the embedding."""
        return self.parameters - round(self._part(Role.EXPERTS).parameters * (1 - self.expert_share))

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts.values())

    @property
    def read(self) -> Part:
        """Weights that are read for one token of one stream. An embedding that is the head, too, is read."""
        shares = {Role.ASIDE: 0.0, Role.EXPERTS: self.expert_share}
        if self._part(Role.HEAD).bytes:
            shares[Role.EMBEDDING] = 0.0
        read = Part()
        for role, part in self.parts.items():
            share = shares.get(role, 1.0)
            read += Part(round(part.parameters * share), round(part.bytes * share))
        return read

    def quantized(self, scheme: Scheme) -> "Sizes":
        """With one byte a weight in the layers that the scheme quantizes. Scales, one a row, are too few to count."""
        small = {Role.LINEAR, Role.EXPERTS} | (set() if scheme.kept else {Role.ATTENTION_INPUTS})
        parts = {
            role: replace(part, bytes=part.parameters) if role in small else part for role, part in self.parts.items()
        }
        whole = sum(part.bytes for role, part in parts.items() if role in small)
        rest = sum(part.bytes for part in parts.values()) - whole
        kept = max(self.bytes_by_dtype, key=lambda dtype: self.bytes_by_dtype[dtype])
        return replace(self, parts=parts, bytes_by_dtype={"8-bit": whole, kept: rest})

    def _part(self, role: Role) -> Part:
        return self.parts.get(role, Part())


def measure(tensors: Iterable[Tensor], config: Mapping[str, Any]) -> Sizes:
    """Every tensor, sorted by its role; `config` is the model's whole config.json."""
    tensors, text = list(tensors), facts.text_config(config)
    layers = facts.layers(text)
    bits = facts.weight_bits(config)
    parts: dict[Role, Part] = {}
    for tensor in tensors:
        role = _role(tensor, layers)
        parts[role] = parts.get(role, Part()) + Part(_parameters(tensor, bits), tensor.bytes)
    used, of = facts.experts(text)
    return Sizes(parts, dict(bytes_per_dtype(tensors).most_common()), used / of)


_EMBEDDING = re.compile(r"(embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|token_embd)\.weight$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$|^output\.weight$")
_EXPERT = re.compile(r"\.experts\.|_exps\.")
_ASIDE = re.compile(r"(^|\.)(visual|vision_\w+|audio_\w+|multi_modal_projector|mtp)\.|nextn\.")
_INPUT = re.compile(r"\.(?:(?:q|k|v|qkv)_proj|attn_(?:q|k|v|qkv))\.")
_LAYER = re.compile(r"\.(?:layers|blk)\.(\d+)\.")
_ROUTER = re.compile(r"(\.gate|router|gate_inp|shared_expert_gate)\.weight$")
_ASSISTING = re.compile(r"(scales?|scale_inv|zeros|zero_point|g_idx|weight_shape)$")  # beside quantized weights


def _role(tensor: Tensor, layers: int) -> Role:
    name = tensor.name
    layer = _LAYER.search(f".{name}")
    if _ASIDE.search(name) or (layer and 0 < layers <= int(layer[1])):
        return Role.ASIDE
    if _EMBEDDING.search(name):
        return Role.EMBEDDING
    if _HEAD.search(name):
        return Role.HEAD
    if _EXPERT.search(name):
        return Role.EXPERTS
    linear = layer and len(tensor.shape) == 2 and not _ROUTER.search(name)
    if not linear:
        return Role.OTHER
    return Role.ATTENTION_INPUTS if _INPUT.search(name) else Role.LINEAR


def _parameters(tensor: Tensor, bits: int | None) -> int:
    """Packed weights hold several in one number: 32 bits of GPTQ or AWQ, 8 bits of MXFP4."""
    if _ASSISTING.search(tensor.name):
        return 0
    held = {"I32": 32, "U8": 8}.get(tensor.dtype, 0) // bits if bits else 1
    return math.prod(tensor.shape) * max(1, held)
