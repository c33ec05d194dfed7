"""Speculative decoding by preset: something cheap guesses the next tokens, and the model checks them all in one step.

What the model says stays what it would have said: vLLM takes a guess only where the model agrees (greedy), or as often
as it would agree (Leviathan et al., arXiv 2211.17192). docs/performance.md tells when it pays.
"""

import threading
from dataclasses import dataclass, replace
from typing import Any

from fathom.core.engine import Progress
from fathom.core.errors import StartupError
from fathom.models.facts import ModelFacts, text_config
from fathom.models.fetch import PreparedModel
from fathom.models.fetch import prepare as prepare_model
from fathom.settings import EngineSettings, Settings

_NGRAM_TOKENS, _DRAFT_TOKENS = 4, 3
_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_HEADS = ("num_nextn_predict_layers", "mtp_num_hidden_layers")
"""Where configs say how many heads for multi-token prediction (MTP) the checkpoint has."""


@dataclass(frozen=True, slots=True)
class Guessing:
    """config: vLLM's speculative_config, None for none. facts: the model's, with a draft model's memory added."""

    config: dict[str, Any] | None
    facts: ModelFacts


def prepare(settings: Settings, model: PreparedModel, progress: Progress, cancel: threading.Event) -> Guessing:
    """Fetches a draft model, if there is to be one. Raises StartupError for what does not go with this model."""
    asked = settings.engine.speculative
    _check(settings.engine)
    if not isinstance(asked, str):
        return Guessing(asked, model.facts)
    if asked != "draft":
        return Guessing(_ngram(settings.engine) if asked == "ngram" else _mtp(settings.engine, model), model.facts)
    assert settings.engine.draft_model is not None
    draft = prepare_model(settings.engine.draft_model, settings.home, progress, cancel=cancel)
    config = {
        "method": "draft_model",
        "model": str(draft.path),
        "num_speculative_tokens": settings.engine.speculative_tokens or _DRAFT_TOKENS,
    }
    return Guessing(config, _together(model, draft))


def _check(settings: EngineSettings) -> None:
    if settings.speculative == "draft" and settings.draft_model is None:
        raise StartupError("engine.speculative = 'draft' needs a model that guesses: name one with --draft-model.")
    if settings.speculative != "draft" and settings.draft_model is not None:
        raise StartupError("engine.draft_model is only used with engine.speculative = 'draft': give both, or neither.")
    if settings.speculative_tokens is not None and not isinstance(settings.speculative, str):
        raise StartupError(
            "engine.speculative_tokens goes with a preset of engine.speculative (ngram, mtp or draft); in a table of "
            "vLLM's it is num_speculative_tokens."
        )


def _ngram(settings: EngineSettings) -> dict[str, Any]:
    """Where the last 4 (or 3, or 2) tokens have stood before in the text, what followed them then is the guess."""
    return {
        "method": "ngram",
        "num_speculative_tokens": settings.speculative_tokens or _NGRAM_TOKENS,
        "prompt_lookup_max": _LONGEST_MATCH,
        "prompt_lookup_min": _SHORTEST_MATCH,
    }


def _mtp(settings: EngineSettings, model: PreparedModel) -> dict[str, Any]:
    config = text_config(model.facts.config)
    heads = next((int(config[name]) for name in _HEADS if config.get(name)), 0)
    if not heads:
        raise StartupError(
            f"engine.speculative = 'mtp' needs a checkpoint with heads for multi-token prediction, and {model.id} has "
            "none (its config.json names no num_nextn_predict_layers): use ngram, or draft with --draft-model."
        )
    tokens = settings.speculative_tokens or heads
    if tokens % heads:
        raise StartupError(
            f"engine.speculative_tokens = {tokens} must be a multiple of the {heads} MTP heads that {model.id} has."
        )
    return {"method": "mtp", "num_speculative_tokens": tokens}


def _together(model: PreparedModel, draft: PreparedModel) -> ModelFacts:
    """What both take in memory. Raises StartupError where they do not speak in the same tokens."""
    sizes = [text_config(each.facts.config).get("vocab_size") for each in (model, draft)]
    if sizes[0] != sizes[1]:
        raise StartupError(
            f"a draft model must have the vocabulary of the model: {draft.id} has {sizes[1]:,} tokens and {model.id} "
            f"{sizes[0]:,}. Choose a smaller model of the same family."
        )
    return replace(
        model.facts,
        weight_bytes=model.facts.weight_bytes + draft.facts.weight_bytes,
        kv_values_per_token=model.facts.kv_values_per_token + draft.facts.kv_values_per_token,
    )
