"""Model families without their weights: their real chat templates, and a small tokenizer with their special tokens.

The templates are files of the wheel `trl`, which keeps them as each family ships them. It is read, never imported.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files
from typing import Any

from fathom.core.events import Piece, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.harmony import HarmonyMachine, HarmonyTokens, open_header
from fathom.engine.reader import Calls
from fathom.engine.reasoning import Delimiter, ReasoningMachine
from fathom.models.profiles import Profile, pick
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from tests.tokenizers import TEMPLATE, small_tokenizer

Said = tuple[str, str, list[tuple[str, str]]]
"""A trace, an answer, and calls as (name, arguments)."""

V31 = (  # trl has no template of DeepSeek-V3.1; this one does the same in the cases that are tested
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% else %}{{ '<｜Assistant｜></think>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}"
    "{% if thinking %}{{ '<think>' }}{% else %}{{ '</think>' }}{% endif %}{% endif %}"
)
_DEEPSEEK = ("User", "Assistant", "end▁of▁sentence", "begin▁of▁sentence")
_DEEPSEEK_CALLS = ("tool▁calls▁begin", "tool▁calls▁end", "tool▁call▁begin", "tool▁call▁end", "tool▁sep")
_GLM_CALLS = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
_HARMONY = ("start", "end", "message", "channel", "constrain", "return", "call")


@cache
def template(name: str) -> str:
    """As the family ships it, by trl's name for it."""
    found = [file for file in files("trl") or () if str(file) == f"trl/chat_templates/{name}.jinja"]
    assert found, f"trl has no template {name!r}"
    return found[0].read_text("utf-8")


@dataclass(frozen=True)
class Family:
    """`tokens`: what its tokenizer has besides text. `end`: the token that ends a turn."""

    model_type: str
    template: str
    end: str
    tokens: tuple[str, ...] = ()

    @property
    def profile(self) -> Profile:
        return pick(self.model_type, self.template)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        tokenizer = small_tokenizer()
        added = [AddedToken(token, normalized=False, special=token.startswith("<|")) for token in self.tokens]
        tokenizer.backend_tokenizer.add_tokens([*added, AddedToken(self.end, normalized=False, special=True)])
        tokenizer.eos_token, tokenizer.bos_token = self.end, ""
        tokenizer.chat_template = self.template
        return tokenizer

    def prompt(self, messages: Sequence[dict[str, Any]], **variables: Any) -> str:
        rendered = self.tokenizer().apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=False, **variables
        )
        assert isinstance(rendered, str)
        return rendered

    def thinks(self, on: bool | None) -> dict[str, bool]:
        """The template's variables for thinking."""
        reasoning = self.profile.reasoning
        return {} if on is None or reasoning is None or reasoning.switch is None else {reasoning.switch: on}


def _deepseek(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"<｜{name}｜>" for name in names)


FAMILIES = {
    "r1-distill": Family("qwen2", template("deepseek_r1_distill"), "<｜end▁of▁sentence｜>", _deepseek(_DEEPSEEK)),
    "r1": Family(
        "deepseek_v3", template("deepseekv3"), "<｜end▁of▁sentence｜>", _deepseek(_DEEPSEEK + _DEEPSEEK_CALLS)
    ),
    "v3.1": Family("deepseek_v3", V31, "<｜end▁of▁sentence｜>", _deepseek(_DEEPSEEK + _DEEPSEEK_CALLS)),
    "qwen3": Family("qwen3", template("qwen3"), "<|im_end|>", ("<tool_call>", "</tool_call>")),
    "qwen3-instruct": Family("qwen3", template("qwen3_instruct_2507"), "<|im_end|>", ("<tool_call>", "</tool_call>")),
    "qwen3.5": Family("qwen3_5", template("qwen3_5_think"), "<|im_end|>", ("<tool_call>", "</tool_call>")),
    "glm": Family(
        "glm4_moe",
        template("glm4moe"),
        "<|user|>",
        ("<|assistant|>", "<|system|>", "<|observation|>", *_GLM_CALLS),
    ),
    "gpt-oss": Family("gpt_oss", template("gptoss"), "<|return|>", tuple(f"<|{name}|>" for name in _HARMONY)),
    "llama": Family(
        "llama",
        template("llama3_1"),
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>", "<|eom_id|>"),
    ),
    "plain": Family("gemma", TEMPLATE, "<|im_end|>"),
}


def machine(
    family: Family, tokenizer: PreTrainedTokenizerFast, prompt: str
) -> ReasoningMachine | HarmonyMachine | None:
    reasoning = family.profile.reasoning
    if reasoning is None:
        return None
    if reasoning.format == "harmony":
        backend = tokenizer.backend_tokenizer
        tokens = HarmonyTokens.of(backend)
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        return HarmonyMachine(tokens, within=open_header(backend, tokens, ids))
    start, end = (Delimiter(text, _id(tokenizer, text)) for text in (reasoning.start, reasoning.end))
    return ReasoningMachine(start, end, thinking=prompt.rstrip().endswith(reasoning.start))


def read(
    tokenizer: PreTrainedTokenizerFast,
    ids: Sequence[int],
    machine: ReasoningMachine | HarmonyMachine | None,
    calls: Calls | None = None,
    *,
    cut: bool = False,
) -> Said:
    """What a client sees of a turn. The token that ended it is not among `ids`."""
    pieces = _pieces(tokenizer, ids, machine, calls, cut)
    trace, answer, names, arguments = "", "", list[str](), list[str]()
    for piece in pieces:
        match piece:
            case ReasoningDelta(text):
                trace += text
            case TextDelta(text):
                answer += text
            case ToolCallStart(name=name):
                names.append(name)
                arguments.append("")
            case ToolCallDelta(call, text):
                arguments[call] += text
    return trace, answer, list(zip(names, arguments, strict=True))


def _pieces(
    tokenizer: PreTrainedTokenizerFast,
    ids: Sequence[int],
    machine: ReasoningMachine | HarmonyMachine | None,
    calls: Calls | None,
    cut: bool,
) -> Iterator[Piece]:
    detokenizer = Detokenizer(TokenBytes(tokenizer.backend_tokenizer), [], skip_special_tokens=calls is None)
    for token_id in ids:
        text = detokenizer.step(token_id)
        for piece in machine.feed(token_id, text) if machine else [TextDelta(text)]:
            yield from calls.feed(piece.text, token_id) if calls and isinstance(piece, TextDelta) else [piece]
    for piece in machine.finish(cut=cut) if machine else []:
        yield from calls.feed(piece.text, -1) if calls and isinstance(piece, TextDelta) else [piece]
    yield from calls.finish(cut=cut) if calls else []


def _id(tokenizer: PreTrainedTokenizerFast, text: str) -> int | None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return ids[0] if len(ids) == 1 else None
