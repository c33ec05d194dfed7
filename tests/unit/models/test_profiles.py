import pytest
from fathom.core.errors import StartupError
from fathom.models.profiles import PROFILES, by_name, pick

R1 = "{{'<｜Assistant｜><think>\\n'}}{% set content = content.split('</think>')[-1] %}"
QWEN3 = "{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{% endif %}"
V31 = "{% if thinking %}<think>{% else %}</think>{% endif %}"
SMOLLM2 = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.mark.parametrize(
    ("model_type", "template", "name"),
    [
        ("qwen2", R1, "deepseek-r1"),
        ("llama", R1, "deepseek-r1"),
        ("deepseek_v3", R1, "deepseek-r1"),
        ("deepseek_v3", V31, "deepseek-v3.1"),
        ("qwen3", QWEN3, "qwen3"),
        ("qwen3_moe", QWEN3, "qwen3"),
        ("qwen3", R1, "deepseek-r1"),
        ("gpt_oss", "anything", "gpt-oss"),
        ("llama", SMOLLM2, "smollm2-thinking"),
        ("llama", "<|start_header_id|>", "plain"),
        ("llama", None, "plain"),
    ],
)
def test_a_family_is_known_by_its_config_and_template(model_type, template, name):
    assert pick(model_type, template).name == name


def test_names_are_unique_and_an_unknown_one_lists_them():
    assert len({profile.name for profile in PROFILES}) == len(PROFILES)
    with pytest.raises(StartupError, match="qwen3"):
        by_name("qwen4")


def test_our_own_template_is_packaged():
    assert "enable_thinking" in (by_name("smollm2-thinking").template or "")
