"""What is known of each model family, as data. Serving code asks the profile and never looks at a model's name.

Sources: the model cards and chat templates of each family on Hugging Face (DeepSeek-R1: temperature 0.6, top_p 0.95,
the response begins with <think>; Qwen3: temperature 0.6, top_p 0.95, top_k 20, `enable_thinking`; DeepSeek-V3.1:
`thinking`, tools without thinking only; SmolLM2: temperature 0.2, top_p 0.9; gpt-oss: temperature 1, harmony channels,
`reasoning_effort`; Qwen3.8: `reasoning_effort`), and vLLM's page on tool calling for the parsers. A family without
sampling here has it in its `generation_config.json`. Middle filling: the cards of Qwen2.5-Coder, StarCoder2,
DeepSeek-Coder and Code Llama.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Literal

from fathom.core.errors import StartupError
from fathom.core.generation import Effort

FillTokens = tuple[str, str, str]
"""What stands before the prefix, before the suffix, and before the middle that the model is to write."""

_EFFORTS: tuple[Effort, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a family writes its trace.

    format: between two delimiters, or in harmony's messages (engine/harmony.py).
    start, end: the delimiters, as text.
    opened_by: "template" if the prompt should end with `start`, "model" if the model writes it (or does not).
    closing: what ends a trace that the model left open, and leads over to the answer.
    switch: the chat template's variable for thinking. None: an empty trace in the prompt turns it off.
    effort, efforts: the chat template's variable for how hard to think, and the words it knows, least first.
    default_on: thinks when the client says nothing.
    budget: default thinking budget in tokens; None is no limit but max_tokens.
    answers_after_eos: the family may end its turn before its answer; the trace is then closed and the answer asked for.
    """

    format: Literal["delimiters", "harmony"] = "delimiters"
    start: str = "<think>"
    end: str = "</think>"
    opened_by: Literal["template", "model"] = "template"
    closing: str = "\n</think>\n\n"
    switch: str | None = None
    can_switch_off: bool = True
    effort: str | None = None
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    default_on: bool = True
    budget: int | None = None
    answers_after_eos: bool = False

    def word_for(self, effort: Effort) -> Effort:
        """The nearest word that the template knows; of two as near, the one for more."""
        asked = _EFFORTS.index(effort)
        return min(reversed(self.efforts), key=lambda known: abs(_EFFORTS.index(known) - asked))


@dataclass(frozen=True, slots=True)
class Profile:
    """One family.

    model_types, template_marks: a model belongs here if its config's model_type is one of these (empty: any) and its
    chat template holds every mark. tool_parser: vLLM's name for it. sampling: defaults where the client names none.
    brief: its JSON needs bounds where a schema leaves a string or an array open: it would write them for ever.
    fim: for filling in the middle; set from the tokenizer, see `fill_tokens`. template: our own chat template.
    """

    name: str
    model_types: tuple[str, ...] = ()
    template_marks: tuple[str, ...] = ()
    reasoning: Reasoning | None = None
    tool_parser: str | None = None
    sampling: dict[str, float] = field(default_factory=dict)
    knows_developer_role: bool = False
    template_file: str | None = None
    brief: bool = False
    fim: FillTokens | None = None

    def matches(self, model_type: str, template: str) -> bool:
        return (not self.model_types or model_type in self.model_types) and all(
            mark in template for mark in self.template_marks
        )

    @property
    def template(self) -> str | None:
        """Our own chat template for the family, or None for the model's."""
        return _template(self.template_file) if self.template_file else None


_QWEN = ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next")
_QWEN35 = ("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text")
_QWEN35_REASONING = Reasoning(switch="enable_thinking")
_DEEPSEEK_CALLS = "<｜tool▁calls▁begin｜>"

PROFILES = (
    Profile(
        "smollm2-thinking",
        model_types=("llama",),
        template_marks=("named SmolLM, trained by Hugging Face",),
        reasoning=Reasoning(switch="enable_thinking", budget=64, answers_after_eos=True),
        sampling={"temperature": 0.2, "top_p": 0.9, "repetition_penalty": 1.1},  # without a penalty it repeats for ever
        brief=True,
        template_file="smollm2-thinking.jinja",
    ),
    Profile(
        "gpt-oss",
        model_types=("gpt_oss",),
        reasoning=Reasoning(
            format="harmony",
            start="<|channel|>analysis<|message|>",
            end="<|end|>",  # a longer end would miss the traces that lead to a call, and vLLM would count on
            opened_by="model",
            closing="<|end|><|start|>assistant<|channel|>final<|message|>",
            can_switch_off=False,
            effort="reasoning_effort",
        ),
        tool_parser="openai",
        sampling={"temperature": 1.0, "top_p": 1.0},
        knows_developer_role=True,
    ),
    Profile(
        "deepseek-v3.1",
        model_types=("deepseek_v3", "deepseek_v32"),
        template_marks=("thinking", "</think>"),
        reasoning=Reasoning(switch="thinking", closing="</think>", default_on=False),
        tool_parser="deepseek_v31",
        sampling={"temperature": 0.6, "top_p": 0.95},
    ),
    Profile(
        "deepseek-r1",
        model_types=("deepseek_v3",),
        template_marks=("</think>", _DEEPSEEK_CALLS),
        reasoning=Reasoning(),
        tool_parser="deepseek_v3",
        sampling={"temperature": 0.6, "top_p": 0.95},
    ),
    Profile(
        "deepseek-v3",
        model_types=("deepseek_v3",),
        template_marks=(_DEEPSEEK_CALLS,),
        tool_parser="deepseek_v3",
    ),
    Profile(
        "qwen3",
        model_types=("qwen3", "qwen3_moe"),
        template_marks=("enable_thinking",),
        reasoning=Reasoning(switch="enable_thinking", opened_by="model"),
        tool_parser="hermes",
        sampling={"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    ),
    Profile(
        "qwen-thinking",
        model_types=_QWEN,
        template_marks=("</think>", "<tool_call>"),
        reasoning=Reasoning(),
        tool_parser="hermes",
        sampling={"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    ),
    Profile(
        "qwen-coder",
        model_types=_QWEN,
        template_marks=("<tool_call>", "<function="),
        tool_parser="qwen3_coder",
    ),
    Profile(
        "qwen-instruct",
        model_types=_QWEN,
        template_marks=("<tool_call>",),
        tool_parser="hermes",
    ),
    Profile(
        "qwen3.8",
        model_types=_QWEN35,
        template_marks=("enable_thinking", "<function=", "reasoning_effort"),
        reasoning=replace(_QWEN35_REASONING, effort="reasoning_effort", efforts=("low", "medium", "xhigh")),
        tool_parser="qwen3_coder",
    ),
    Profile(
        "qwen3.5-small",
        model_types=_QWEN35,
        template_marks=("enable_thinking is true", "<function="),
        reasoning=replace(_QWEN35_REASONING, default_on=False),
        tool_parser="qwen3_coder",
    ),
    Profile(
        "qwen3.5",
        model_types=_QWEN35,
        template_marks=("enable_thinking", "<function="),
        reasoning=_QWEN35_REASONING,
        tool_parser="qwen3_coder",
    ),
    Profile(
        "glm-4.5",
        model_types=("glm4_moe", "glm4_moe_lite"),
        template_marks=("enable_thinking", "<arg_key>"),
        reasoning=Reasoning(switch="enable_thinking", opened_by="model"),
        tool_parser="glm45",
    ),
    Profile(
        "r1-distill",
        template_marks=("</think>",),
        reasoning=Reasoning(),
        sampling={"temperature": 0.6, "top_p": 0.95},
    ),
    Profile(
        "llama-3",
        model_types=("llama", "mllama"),
        template_marks=("<|start_header_id|>", "ipython"),
        tool_parser="llama3_json",
    ),
    Profile(
        "mistral",
        model_types=("mistral", "mistral3", "mixtral"),
        template_marks=("[TOOL_CALLS]",),
        tool_parser="mistral",
    ),
    Profile("plain"),
)

FILLS: tuple[FillTokens, ...] = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
)
"""Of Qwen2.5-Coder (and CodeGemma), StarCoder2, DeepSeek-Coder (and DeepSeek-V3), and Code Llama."""


def fill_tokens(vocabulary: Container[str]) -> FillTokens | None:
    """How a model fills in the middle, which its vocabulary tells; None if it can't."""
    return next((tokens for tokens in FILLS if all(token in vocabulary for token in tokens)), None)


def by_name(name: str) -> Profile:
    """Raises StartupError for a name that is not in PROFILES."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise StartupError(f"unknown profile {name!r}; the profiles are: {', '.join(each.name for each in PROFILES)}")


def pick(model_type: str, template: str | None) -> Profile:
    """The first profile that the model's config and chat template match; "plain" matches everything."""
    return next(profile for profile in PROFILES if profile.matches(model_type, template or ""))


@cache
def _template(name: str) -> str:
    return (files("fathom.models") / "templates" / name).read_text()
