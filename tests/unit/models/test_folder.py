import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.models.folder import inspect

from tests.unit.models.conftest import LLAMA, safetensors

MakeFolder = Callable[..., Path]


def test_the_facts_of_a_whole_folder_are_read(make_folder: MakeFolder) -> None:
    facts = inspect(make_folder())
    assert (facts.architectures, facts.model_type, facts.dtype) == (("LlamaForCausalLM",), "llama", "bfloat16")
    assert (facts.weight_bytes, facts.weight_dtype, facts.layers, facts.context_length) == (64, "BF16", 30, 8192)
    assert facts.kv_bytes_per_token() == 30 * 2 * 3 * 64 * 2
    assert facts.kv_bytes_per_token(1) == 30 * 2 * 3 * 64
    assert facts.chat_template == "{{ messages }}"


def test_the_facts_of_a_nested_config_are_those_of_its_language_model(make_folder: MakeFolder) -> None:
    nested = {key: None for key in LLAMA if key != "architectures"} | {"text_config": LLAMA}
    facts = inspect(make_folder(**nested))
    assert (facts.layers, facts.context_length, facts.dtype) == (30, 8192, "bfloat16")


def test_the_older_name_of_the_type_is_read(make_folder: MakeFolder) -> None:
    assert inspect(make_folder(dtype=None, torch_dtype="float32")).dtype == "float32"


def test_a_template_in_a_file_of_its_own_wins(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "chat_template.jinja").write_text("from the file")
    assert inspect(folder).chat_template == "from the file"


def test_of_several_named_templates_the_default_is_taken(make_folder: MakeFolder) -> None:
    folder = make_folder()
    templates = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert inspect(folder).chat_template == "plain"


def test_a_base_model_has_no_template(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "tokenizer_config.json").unlink()
    assert inspect(folder).chat_template is None


def test_a_folder_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"^no such folder: "):
        inspect(tmp_path / "none")


def test_a_folder_without_a_config_says_so(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "config.json").unlink()
    with pytest.raises(StartupError, match=r"has no config.json"):
        inspect(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_config_that_cannot_be_read_is_named(make_folder: MakeFolder, content: bytes) -> None:
    folder = make_folder()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(StartupError, match=r"cannot read .*config.json: ") as caught:
        inspect(folder)
    assert "\n" not in str(caught.value)


def test_a_config_without_architectures_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(StartupError, match=r"config.json names no architectures"):
        inspect(make_folder(architectures=[]))


def test_a_folder_without_a_tokenizer_says_so(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(StartupError, match=r"has no tokenizer"):
        inspect(folder)


def test_weights_that_are_cut_short_are_found_out(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "model.safetensors").write_bytes(safetensors()[:-1])
    with pytest.raises(StartupError, match=r"is cut short"):
        inspect(folder)


CUSTOM: dict[str, Any] = {"auto_map": {"AutoConfig": "configuration_new.NewConfig"}}


def test_an_architecture_that_only_the_repositorys_code_knows_asks_for_trust_by_name(make_folder: MakeFolder) -> None:
    folder = make_folder(model_type="brand_new", **CUSTOM)
    with pytest.raises(
        StartupError, match=r"Python code of its own for its architecture 'brand_new'.*--trust-remote-code"
    ):
        inspect(folder)
    assert inspect(folder, trust_remote_code=True).model_type == "brand_new"


@pytest.mark.parametrize("model_type", ["deepseek_v3", "qwen3"])
def test_code_that_nobody_needs_is_no_obstacle(make_folder: MakeFolder, model_type: str) -> None:
    assert inspect(make_folder(model_type=model_type, **CUSTOM)).model_type == model_type


def test_a_tokenizer_that_is_code_asks_for_trust(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "tokenizer.json").rename(folder / "tiktoken.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["t.Tokenizer", None]}}))
    with pytest.raises(StartupError, match=r"code of its own for its tokenizer"):
        inspect(folder)


def encoder(folder: Path, *modules: str) -> Path:
    """Lay `folder` out for sentence-transformers."""
    listed = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    for at, module in enumerate(modules, start=1):
        listed.append({"path": f"{at}_{module}", "type": f"sentence_transformers.models.{module}"})
        (folder / f"{at}_{module}").mkdir()
        (folder / f"{at}_{module}" / "config.json").write_text("{}")
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def test_a_sentence_encoder_is_known_by_its_modules(make_folder: MakeFolder) -> None:
    folder = make_folder()
    assert not inspect(folder).sentence_encoder
    assert inspect(encoder(folder, "Pooling", "Normalize")).sentence_encoder


def test_a_sentence_encoder_without_its_pooling_is_refused(make_folder: MakeFolder) -> None:
    folder = encoder(make_folder(), "Pooling")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(StartupError, match=r"lacks 1_Pooling/config.json"):
        inspect(folder)


def test_a_projection_needs_its_weights(make_folder: MakeFolder) -> None:
    folder = encoder(make_folder(), "Pooling", "Dense")
    with pytest.raises(StartupError, match=r"lacks 2_Dense/model.safetensors"):
        inspect(folder)
    (folder / "2_Dense" / "model.safetensors").write_bytes(safetensors())
    assert inspect(folder).sentence_encoder


def test_the_length_that_a_sentence_encoder_states_is_its_context(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256}))
    assert inspect(folder).context_length == 256
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": None}))
    assert inspect(folder).context_length == 8192


@pytest.mark.parametrize(("embedding", "length"), [("absolute", 512), ("rotary", 8192)])
def test_absolute_positions_end_where_the_tokenizer_says(make_folder: MakeFolder, embedding: str, length: int) -> None:
    folder = make_folder(position_embedding_type=embedding)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
    assert inspect(folder).context_length == length
