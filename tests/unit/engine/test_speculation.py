import threading
from pathlib import Path
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.engine import speculation
from fathom.engine.speculation import Guessing
from fathom.models import folder
from fathom.models.fetch import PreparedModel
from fathom.settings import load

from tests.unit.models.conftest import model_files


def written(path: Path, **config: Any) -> PreparedModel:
    path.mkdir()
    for name, content in model_files(**config).items():
        (path / name).write_bytes(content)
    return PreparedModel(path.name, path, str(path), folder.inspect(path))


def guessing(model: PreparedModel, **settings: Any) -> Guessing:
    loaded = load({f"engine.{name}": value for name, value in settings.items()})
    return speculation.prepare(loaded, model, lambda _phase, _share: None, threading.Event())


def refused(model: PreparedModel, **settings: Any) -> str:
    with pytest.raises(StartupError) as caught:
        guessing(model, **settings)
    return str(caught.value)


@pytest.fixture
def model(tmp_path: Path) -> PreparedModel:
    return written(tmp_path / "large", vocab_size=320)


def test_nothing_is_guessed_unless_asked(model):
    assert guessing(model) == Guessing(None, model.facts)


def test_ngram_looks_for_the_last_tokens_in_the_text_so_far(model):
    assert guessing(model, speculative="ngram").config == {
        "method": "ngram",
        "num_speculative_tokens": 4,
        "prompt_lookup_max": 4,
        "prompt_lookup_min": 2,
    }


def test_how_many_tokens_are_guessed_can_be_said(model):
    config = guessing(model, speculative="ngram", speculative_tokens=7).config
    assert config is not None
    assert config["num_speculative_tokens"] == 7


def test_a_table_goes_to_vllm_as_it_is(model):
    table = {"method": "ngram", "num_speculative_tokens": 2}
    assert guessing(model, speculative=table).config == table


def test_a_checkpoint_guesses_with_the_heads_that_it_has(tmp_path):
    model = written(tmp_path / "v3", num_nextn_predict_layers=1)
    assert guessing(model, speculative="mtp").config == {"method": "mtp", "num_speculative_tokens": 1}


def test_the_heads_may_be_used_several_times_but_whole(tmp_path):
    model = written(tmp_path / "v3", num_nextn_predict_layers=2)
    assert guessing(model, speculative="mtp", speculative_tokens=4).config == {
        "method": "mtp",
        "num_speculative_tokens": 4,
    }
    assert "multiple of the 2 MTP heads that v3 has" in refused(model, speculative="mtp", speculative_tokens=3)


def test_a_checkpoint_without_heads_is_told_what_to_do(model):
    assert "large has none" in refused(model, speculative="mtp")
    assert "use ngram, or draft with --draft-model" in refused(model, speculative="mtp")


def test_a_draft_model_is_fetched_and_takes_memory_too(model, tmp_path):
    draft = written(tmp_path / "small", vocab_size=320, num_hidden_layers=3)
    found = guessing(model, speculative="draft", draft_model=str(draft.path))
    assert found.config == {"method": "draft_model", "model": str(draft.path), "num_speculative_tokens": 3}
    assert found.facts.weight_bytes == model.facts.weight_bytes + draft.facts.weight_bytes
    assert found.facts.kv_values_per_token == model.facts.kv_values_per_token * 33 // 30


def test_a_draft_model_of_another_vocabulary_is_refused(model, tmp_path):
    draft = written(tmp_path / "small", vocab_size=151_936)
    assert "small has 151,936 tokens and large 320" in refused(model, speculative="draft", draft_model=str(draft.path))


def test_settings_that_do_not_belong_together_are_refused(model):
    assert "--draft-model" in refused(model, speculative="draft")
    assert "give both, or neither" in refused(model, draft_model="./small")
    assert "goes with a preset" in refused(model, speculative_tokens=3)
