import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.core.generation import Effort
from fathom.models.profiles import FILLS, PROFILES, Reasoning, by_name, fill_tokens, pick

from tests.unit.engine.families import template

CALLS = "<｜tool▁calls▁begin｜>"
V31 = f"{CALLS}{{% if thinking %}}<think>{{% else %}}</think>{{% endif %}}"
QWQ = "<tool_call></think>{{ '<|im_start|>assistant\\n<think>\\n' }}"
CODER = "{{ '<tool_call>\\n<function=' + tool_call.name + '>' }}"
MISTRAL = '{{ "[TOOL_CALLS] [" }}'
SMOLLM2 = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.mark.parametrize(
    ("model_type", "file", "name"),
    [
        ("qwen2", "deepseek_r1_distill", "r1-distill"),
        ("llama", "deepseek_r1_distill", "r1-distill"),
        ("qwen3", "deepseek_r1_distill", "r1-distill"),
        ("deepseek_v3", "deepseekv3", "deepseek-r1"),
        ("qwen3", "qwen3", "qwen3"),
        ("qwen3_moe", "qwen3", "qwen3"),
        ("qwen3", "qwen3_instruct_2507", "qwen-instruct"),
        ("qwen3_next", "qwen3_instruct_2507", "qwen-instruct"),
        ("qwen2", "qwen2_5", "qwen-instruct"),
        ("qwen3_5", "qwen3_5_think", "qwen3.5"),
        ("qwen3_5", "qwen3_5_nothink", "qwen3.5-small"),
        ("qwen3_5_moe", "qwen3_6", "qwen3.5"),
        ("qwen3_5", "qwen3_8", "qwen3.8"),
        ("glm4_moe", "glm4moe", "glm-4.5"),
        ("gpt_oss", "gptoss", "gpt-oss"),
        ("llama", "llama3_1", "llama-3"),
        ("llama", "llama3_2", "llama-3"),
        ("llama", "llama3", "plain"),
        ("gemma2", "gemma", "plain"),
        ("phi3", "phi3", "plain"),
    ],
)
def test_a_family_is_known_by_its_config_and_its_real_template(model_type, file, name):
    assert pick(model_type, template(file)).name == name


@pytest.mark.parametrize(
    ("model_type", "marks", "name"),
    [
        ("deepseek_v3", V31, "deepseek-v3.1"),
        ("deepseek_v32", V31, "deepseek-v3.1"),
        ("deepseek_v3", CALLS, "deepseek-v3"),
        ("qwen2", QWQ, "qwen-thinking"),
        ("qwen3_moe", QWQ, "qwen-thinking"),
        ("qwen3_moe", CODER, "qwen-coder"),
        ("mistral", MISTRAL, "mistral"),
        ("llama", SMOLLM2, "smollm2-thinking"),
        ("llama", None, "plain"),
    ],
)
def test_a_family_is_known_by_its_config_and_marks(model_type, marks, name):
    assert pick(model_type, marks).name == name


def test_names_are_unique_and_an_unknown_one_lists_them():
    assert len({profile.name for profile in PROFILES}) == len(PROFILES)
    with pytest.raises(StartupError, match="qwen3"):
        by_name("qwen4")


def test_our_own_template_is_packaged():
    assert "enable_thinking" in (by_name("smollm2-thinking").template or "")


def vllms_tool_parsers() -> set[str]:
    """The names that vLLM registers, read from its source: importing it takes seconds."""
    spec = find_spec("vllm")
    assert spec
    assert spec.origin
    tree = ast.parse((Path(spec.origin).parent / "tool_parsers" / "__init__.py").read_text("utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)]
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}


def test_vllm_knows_the_tool_parser_of_every_profile():
    known = vllms_tool_parsers()
    assert "hermes" in known
    assert {profile.tool_parser for profile in PROFILES} - known == {None}


@pytest.mark.parametrize(
    ("efforts", "words"),
    [
        (("low", "medium", "high"), ["low", "low", "medium", "high", "high", "high"]),
        (("low", "medium", "xhigh"), ["low", "low", "medium", "xhigh", "xhigh", "xhigh"]),
    ],
)
def test_an_effort_becomes_the_nearest_word_that_the_template_knows(efforts, words):
    asked: list[Effort] = ["minimal", "low", "medium", "high", "xhigh", "max"]
    assert [Reasoning(efforts=efforts).word_for(effort) for effort in asked] == words


@pytest.mark.parametrize("file", ["gptoss", "qwen3_8"])
def test_a_template_knows_every_word_for_effort_that_its_profile_names(file):
    model_type = {"gptoss": "gpt_oss", "qwen3_8": "qwen3_5"}[file]
    reasoning = pick(model_type, template(file)).reasoning
    assert reasoning
    assert reasoning.effort
    assert reasoning.effort in template(file)


@pytest.mark.parametrize("tokens", FILLS)
def test_a_vocabulary_with_the_tokens_can_fill_in_the_middle(tokens):
    assert fill_tokens({*tokens, "<s>"}) == tokens


def test_a_vocabulary_without_all_of_them_cannot():
    assert fill_tokens({"<s>", "<|fim_prefix|>", "<|fim_middle|>"}) is None
