"""What is known of each model family, as data. Serving code asks the profile and never looks at a model's name.

Sources: the model cards and chat templates of each family on Hugging Face (DeepSeek-R1: temperature 0.6, top_p 0.95,
the response begins with <think>; Qwen3: temperature 0.6, top_p 0.95, top_k 20, `enable_thinking`; DeepSeek-V3.1:
`thinking`; SmolLM2: temperature 0.2, top_p 0.9; gpt-oss: temperature 1, harmony channels).
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from fathom.core.errors import StartupError


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a family writes its trace.

    start, end: the delimiters, as text.
    opened_by: "template" if the prompt should end with `start`, "model" if the model writes it (or does not).
    closing: what ends a trace that the model left open, and leads over to the answer.
    switch: the chat template's variable for thinking. None: an empty trace in the prompt turns it off.
    default_on: thinks when the client says nothing.
    budget: default thinking budget in tokens; None is no limit but max_tokens.
    answers_after_eos: the family may end its turn before its answer; the trace is then closed and the answer asked for.
    """

    start: str = "<think>"
    end: str = "</think>"
    opened_by: Literal["template", "model"] = "template"
    closing: str = "\n</think>\n\n"
    switch: str | None = None
    can_switch_off: bool = True
    default_on: bool = True
    budget: int | None = None
    answers_after_eos: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One family.

    model_types, template_marks: a model belongs here if its config's model_type is one of these (empty: any) and its
    chat template holds every mark. sampling: defaults where the client names none. template: our own chat template.
    """

    name: str
    model_types: tuple[str, ...] = ()
    template_marks: tuple[str, ...] = ()
    reasoning: Reasoning | None = None
    tool_parser: str | None = None
    sampling: dict[str, float] = field(default_factory=dict)
    knows_developer_role: bool = False
    template_file: str | None = None

    def matches(self, model_type: str, template: str) -> bool:
        return (not self.model_types or model_type in self.model_types) and all(
            mark in template for mark in self.template_marks
        )

    @property
    def template(self) -> str | None:
        """Our own chat template for the family, or None for the model's."""
        return _template(self.template_file) if self.template_file else None


PROFILES = (
    Profile(
        "smollm2-thinking",
        model_types=("llama",),
        template_marks=("named SmolLM, trained by Hugging Face",),
        reasoning=Reasoning(switch="enable_thinking", budget=64, answers_after_eos=True),
        sampling={"temperature": 0.2, "top_p": 0.9, "repetition_penalty": 1.1},  # without a penalty it repeats for ever
        template_file="smollm2-thinking.jinja",
    ),
    Profile(
        "gpt-oss",
        model_types=("gpt_oss",),
        reasoning=Reasoning(
            start="<|channel|>analysis<|message|>",
            end="<|end|><|start|>assistant<|channel|>final<|message|>",
            opened_by="model",
            closing="<|end|><|start|>assistant<|channel|>final<|message|>",
            can_switch_off=False,
        ),
        tool_parser="openai",
        sampling={"temperature": 1.0, "top_p": 1.0},
        knows_developer_role=True,
    ),
    Profile(
        "deepseek-v3.1",
        model_types=("deepseek_v3", "deepseek_v32"),
        template_marks=("thinking", "</think>"),
        reasoning=Reasoning(switch="thinking", default_on=False),
        tool_parser="deepseek_v31",
        sampling={"temperature": 0.6, "top_p": 0.95},
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
        "deepseek-r1",
        template_marks=("</think>",),
        reasoning=Reasoning(),
        sampling={"temperature": 0.6, "top_p": 0.95},
    ),
    Profile("plain"),
)


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
