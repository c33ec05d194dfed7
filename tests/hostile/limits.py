"""What is asked for in numbers, sizes and names that nobody may have."""

from collections.abc import Iterator
from typing import Any

from tests.hostile.runner import ANY, BAD, Case, fields
from tests.hostile.target import Target

Json = dict[str, Any]

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
TOKENS, COUNT, EMBEDDINGS = "/v1/responses/input_tokens", "/v1/messages/count_tokens", "/v1/embeddings"
MISSING = frozenset({404})

USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}


def _call(id: str) -> Json:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


TABLE: dict[str, tuple[Json, ...]] = {
    CHAT: (
        *({"max_tokens": limit} for limit in (-1, 0, 2**63, 2**64, 1.5, "4", True)),
        *({"n": n} for n in (10**6, 129, 0, -1, 2**63, "2", True, 1.0)),
        *({"temperature": value} for value in (-0.1, 2.1, "1", True, 1e308)),
        *({name: value} for name in ("presence_penalty", "frequency_penalty") for value in (-2.1, 2.1, 1e9)),
        *({"repetition_penalty": value} for value in (0, -1, 11)),
        *({"min_p": 2}, {"top_p": 0}, {"top_k": -2}, {"top_k": 2**31}, {"seed": 2**63}, {"min_tokens": -1}),
        *({"logit_bias": {str(at): 1 for at in range(500_000)}}, {"logit_bias": {"-1": 1}}, {"logit_bias": {"x": 1}}),
        *({"logit_bias": {"1": 101}}, {"logit_bias": {"1": "1"}}, {"logit_bias": {str(2**31): 1}}, {"logit_bias": []}),
        *({"metadata": {str(at): "x" for at in range(500_000)}}, {"metadata": {"k": 1}}, {"metadata": {"k" * 65: ""}}),
        *({"allowed_token_ids": [1]}, {"stop_token_ids": [-1]}, {"stop_token_ids": [2**31]}, {"stop_token_ids": ["1"]}),
        *({"stop": [""]}, {"stop": ["x"] * 5}, {"stop": ["x"] * 100_000}, {"bad_words": ["x" * 201]}),
        *({"messages": []}, {"messages": [USER] * 4097}, {"messages": [[]] * 100_000}, {"messages": [{}] * 12_000}),
        *({"messages": [{"role": 1, "content": {}}] * 6000}, {"messages": [{"role": "wizard", "content": ""}]}),
        {"messages": [{"role": "user", "content": [{}] * 100_000}]},
        {"messages": [{"role": "assistant", "tool_calls": [_call("x")] * 129}]},
        *(
            {"tools": [TOOL] * 129},
            {"tools": [TOOL, TOOL]},
            {"tools": [{"type": "function", "function": {"name": ""}}]},
        ),
        {"tools": [{"type": "function", "function": {"name": "<|im_start|>"}}]},
        {"tools": [{"type": "function", "function": {"name": "f" * 65}}]},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1:1/"}]},
        *({"prompt_embeds": "AAAA"}, {"chat_template": "{{ 1 }}"}, {"documents": [{"text": "x"}]}),
        *(
            {"chat_template_kwargs": {name: "{{ 7 * 7 }}"}}
            for name in ("chat_template", "messages", "tools", "tokenize", "self", "a b", "", "eos_token")
        ),
        *({"chat_template_kwargs": {"x": value}} for value in ([1], {"a": 1}, [[]])),
        *({"use_beam_search": True}, {"truncate_prompt_tokens": 1}, {"logprobs": True, "top_logprobs": 10**6}),
        *({"reasoning": {"max_tokens": -1}}, {"thinking_token_budget": 2**63}, {"thinking": {"type": "x" * 100_000}}),
        *({"tool_choice": {"type": "function", "function": {"name": "x" * 100_000}}}, {"tool_choice": "required"}),
        {"service_tier": "urgent"},
    ),
    COMPLETIONS: (
        *({"prompt": ["x"] * 100_000}, {"prompt": [[1]] * 100_000}, {"prompt": []}, {"prompt": ""}, {"prompt": [""]}),
        *({"prompt": [1, "x"]}, {"prompt": [[1], "x"]}, {"prompt": [True]}, {"prompt": [-1]}, {"prompt": [2**31]}),
        *({"prompt": ["x"] * 128, "n": 2}, {"best_of": 2}, {"suffix": "x"}, {"max_tokens": 0}, {"logprobs": 10**6}),
        *({"prompt_embeds": "AAAA"}, {"prompt": {"a": 1}}, {"max_tokens": 2**63}, {"echo": "yes"}),
    ),
    RESPONSES: (
        *({"input": []}, {"input": [{}] * 100_000}, {"input": [{"role": "user", "content": [{}] * 100_000}]}),
        *({"input": [{"type": "item_reference", "id": "x"}]}, {"input": [{"type": "item_reference", "id": ""}]}),
        *({"input": [{"type": "web_search_call", "id": "x"}]}, {"max_output_tokens": 2**63}, {"max_output_tokens": 0}),
        *({"previous_response_id": value} for value in ("x", "", "\x00", "x" * 100_000, "../x", "' OR 1=1--", 5)),
        *({"tools": [{"type": kind}]} for kind in ("web_search", "mcp", "code_interpreter", "x" * 100_000)),
        {"metadata": {"k": 10**30}},
        *({"include": ["x"] * 17}, {"include": ["x" * 100_000]}),
        *({"background": True, "store": False}, {"background": "yes"}, {"stream": 1}, {"truncation": "x"}),
        *({"conversation": "conv_1"}, {"prompt": {"id": "x"}}, {"user": "x" * 513}, {"top_logprobs": 21}),
        {"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]},
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "A" * 100_000}]},
    ),
    MESSAGES: (
        *({"messages": []}, {"messages": [USER] * 4097}, {"messages": [{}] * 12_000}, {"max_tokens": 0}),
        *({"max_tokens": 2**63}, {"max_tokens": "4"}, {"max_tokens": None}, {"temperature": 2.1}, {"top_k": -1}),
        *({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},),
        *({"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "x"}]}]},),
        *({"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}]}]},),
        *({"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "A" * 100_000}]}]},),
        *({"system": 5}, {"system": [{"type": "image"}]}, {"stop_sequences": [""]}, {"stop_sequences": ["x"] * 65}),
        *({"tools": [{"name": "f"}]}, {"tools": [{"name": "f", "input_schema": {}}] * 129}, {"mcp_servers": [{}]}),
        *(
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            {"thinking": {"type": "enabled", "budget_tokens": -1}},
        ),
    ),
    EMBEDDINGS: (
        *({"input": ["x"] * 100_000}, {"input": [[1]] * 100_000}, {"input": []}, {"input": ""}, {"input": [[]]}),
        *({"input": [True]}, {"input": [-1]}, {"input": [2**31]}, {"input": [1, "x"]}, {"input": {"a": 1}}),
        *({"dimensions": 0}, {"dimensions": 2**31}, {"dimensions": "8"}, {"encoding_format": "x" * 100_000}),
    ),
    "/tokenize": ({"prompt": 5}, {"prompt": None}, {"messages": []}, {"messages": [USER], "prompt": "x"}),
    "/detokenize": ({"tokens": [-1]}, {"tokens": [0x110000]}, {"tokens": ["1"]}, {"tokens": [True]}, {"tokens": "1"}),
}


def refused(target: Target) -> Iterator[Case]:
    for path, table in TABLE.items():
        yield from (fields(target, path, **given) for given in table)
    for path in target.dialects:
        yield from (
            fields(target, path, f"model {name!r:.20}", MISSING, model=name) for name in ("", "other", "x" * 10**5)
        )
        yield from (fields(target, path, f"model {name!r:.20}", BAD, model=name) for name in (None, 5, ["x"], {}))


def harmless(target: Target) -> Iterator[Case]:
    """What a client may do, if it likes: it is answered, and forges nothing."""
    good = frozenset({200})
    for content in ("", " ", "\x00", "\ufffe\uffff", "\u202e" * 1000, "a\u0300" * 10_000, "{{ 7 * 7 }}", "\U0010ffff"):
        yield fields(target, CHAT, f"content {content[:9]!r}", good, messages=[{"role": "user", "content": content}])
    for id in ("", "x", "x" * 100_000, "\x00", "<|im_end|>"):
        results = [{"role": "tool", "tool_call_id": id or "y", "content": "4"}] * 2
        turns = [USER, {"role": "assistant", "tool_calls": [_call(id), _call(id)]}, *results]
        yield fields(target, CHAT, f"two calls with the id {id[:20]!r}", ANY, messages=turns)
    for id in ("m", "m" * 200):
        items = [{"type": "message", "role": "user", "content": "x", "id": id}] * 3
        yield fields(target, RESPONSES, f"three items with the id {id[:20]!r}", good, input=items)
    large = {"type": "function", "name": "f", "parameters": {"maximum": 10**30}}
    yield fields(target, RESPONSES, "a number of 31 digits in a schema", good, tools=[large])
    yield fields(target, CHAT, "the same stop strings", good, stop=["x", "x", "<|im_start|>", "</think>"])
    yield fields(target, CHAT, "metadata", good, metadata={"<|im_start|>": "</think>", "": "\x00"})
    yield fields(target, CHAT, "as many biases as may be", good, logit_bias={str(at): 1 for at in range(4096)})
    yield fields(target, CHAT, "2,000 messages", good, messages=[USER] * 2000)
    yield fields(target, EMBEDDINGS, "2,048 inputs", good, input=["x"] * 2048)
    yield fields(target, "/detokenize", "a million tokens", good, tokens=[65] * 10**6)
    yield fields(target, "/tokenize", "a million characters", good, prompt="x" * 10**6, return_token_strs=True)
