"""Which tensors of a checkpoint are quantized: the projections of its attention and of its MLPs, experts included.

They do nearly all of the work. What else is a matrix stays as it is: embeddings and `lm_head`, which few numbers of a
token's depend on and all of its probabilities do; the routers of experts, which are small and decide much; `kv_b_proj`
of latent attention, which vLLM unpacks again to merge it into other matrices; and whatever is not known to be a linear
layer with its outputs in rows.
"""

import re
from collections.abc import Sequence

from fathom.models.schemes import Scheme

_PROJECTION = re.compile(
    r"(.+\.)?layers\.\d+\.(.+\.)?("
    r"(q|k|v|o|qkv|q_a|q_b|gate|up|down|gate_up)_proj"
    r"|kv_a_proj_with_mqa"
    r"|experts\.\d+\.w[123]"
    r")\.weight"
)


def is_projection(name: str, shape: Sequence[int]) -> bool:
    """By the tensor's name in the checkpoint; `shape` is [outputs, inputs]."""
    return len(shape) == 2 and _PROJECTION.fullmatch(name) is not None


def is_quantized(name: str, shape: Sequence[int], scheme: Scheme) -> bool:
    """A projection that the scheme does not keep as it is."""
    return is_projection(name, shape) and name.split(".")[-2] not in scheme.kept


def is_other_matrix(name: str, shape: Sequence[int], scheme: Scheme) -> bool:
    """A matrix that stays as it is: the engine has to be told, since it may hold it for one that does not."""
    return len(shape) == 2 and name.endswith(".weight") and not is_quantized(name, shape, scheme)


def is_stack_of_experts(name: str, shape: Sequence[int]) -> bool:
    """Projections of all experts in one tensor, which has no place for scales of each."""
    return len(shape) == 3 and ".experts." in name
