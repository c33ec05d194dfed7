"""How model families write tool calls, and a tokenizer that has their tokens."""

import json
import re

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from tests.tokenizers import small_tokenizer

DEEPSEEK = [f"<｜tool▁{name}｜>" for name in ("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep")]
KIMI = [f"<|tool_call{name}|>" for name in ("s_section_begin", "s_section_end", "_begin", "_argument_begin", "_end")]
SPECIAL = [*DEEPSEEK, *KIMI, "<|python_tag|>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"]

Calls = list[tuple[str, str]]
"""Names, and arguments as JSON."""


def tool_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = small_tokenizer()
    tokenizer.backend_tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def without_special(text: str) -> str:
    return re.sub("|".join(map(re.escape, SPECIAL)), "", text)


def hermes(text: str, calls: Calls) -> str:
    return text + "\n".join(
        f'<tool_call>\n{{"name": "{name}", "arguments": {args}}}\n</tool_call>' for name, args in calls
    )


def deepseek_v31(text: str, calls: Calls) -> str:
    body = "".join(f"{DEEPSEEK[2]}{name}{DEEPSEEK[4]}{args}{DEEPSEEK[3]}" for name, args in calls)
    return f"{text}{DEEPSEEK[0]}{body}{DEEPSEEK[1]}" if calls else text


def deepseek_v3(text: str, calls: Calls) -> str:
    body = "\n".join(
        f"{DEEPSEEK[2]}function{DEEPSEEK[4]}{name}\n```json\n{args}\n```{DEEPSEEK[3]}" for name, args in calls
    )
    return f"{text}{DEEPSEEK[0]}{body}{DEEPSEEK[1]}" if calls else text


def llama3_json(text: str, calls: Calls) -> str:
    return "; ".join(f'{{"name": "{name}", "parameters": {args}}}' for name, args in calls) or text


def kimi_k2(text: str, calls: Calls) -> str:
    body = "".join(f"{KIMI[2]}functions.{name}:{at}{KIMI[3]}{args}{KIMI[4]}" for at, (name, args) in enumerate(calls))
    return f"{text}{KIMI[0]}{body}{KIMI[1]}" if calls else text


def mistral(text: str, calls: Calls) -> str:
    return text + "".join(f"[TOOL_CALLS]{name}[ARGS]{args}" for name, args in calls)


def qwen3_coder(text: str, calls: Calls) -> str:
    return text + "\n".join(
        f"<tool_call>\n<function={name}>\n{_parameters(args)}</function>\n</tool_call>" for name, args in calls
    )


def _parameters(args: str) -> str:
    values = {key: each if isinstance(each, str) else json.dumps(each) for key, each in json.loads(args).items()}
    return "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())


WRITERS = {
    each.__name__: each for each in (hermes, deepseek_v31, deepseek_v3, llama3_json, kimi_k2, mistral, qwen3_coder)
}
