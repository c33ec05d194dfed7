"""Each family's real template, and outputs as the family writes them, through what reads them here."""

import json
import warnings

import pytest
from fathom.core.generation import Tool

from tests.unit.engine.families import FAMILIES, Family, machine, read

HELLO = {"role": "user", "content": "hello"}
DRAFT = '<tool_call>\n{"name": "sky", "arguments": {"at": 0}}\n</tool_call>'
CALL = '<tool_call>\n{"name": "sky", "arguments": {"at": 1}}\n</tool_call>'
CODER_CALL = "<tool_call>\n<function=sky>\n<parameter=at>\n1\n</parameter>\n</function>\n</tool_call>"
GLM_CALL = "<tool_call>sky\n<arg_key>at</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"
V31_CALL = (
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>sky<｜tool▁sep｜>{"at": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)
R1_CALL = V31_CALL.replace("sky<｜tool▁sep｜>", "function<｜tool▁sep｜>sky\n```json\n").replace("}<", "}\n```<")
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
OSS_CALL = '<|channel|>commentary to=functions.sky <|constrain|>json<|message|>{"at": 1}'
OSS_CALL_BY_ROLE = ' to=functions.sky<|channel|>commentary json<|message|>{"at": 1}'

TOOL = Tool("sky", parameters={"type": "object", "properties": {"at": {"type": "integer"}}})
SKY = [("sky", {"at": 1})]


@pytest.fixture(scope="session")
def tokenizers():
    return {name: family.tokenizer() for name, family in FAMILIES.items()}


@pytest.fixture(scope="session")
def tool_reader(tokenizers):
    """Makes a family's reader of tool calls. vLLM is imported here: it takes seconds, and some of it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fathom.engine.tool_parsers import find_parser
        from fathom.engine.tools import ToolReader

    def make(name):
        parser, tokenizer = FAMILIES[name].profile.tool_parser, tokenizers[name]
        if parser in (None, "openai"):  # harmony's calls are the machine's business
            return None
        return ToolReader(find_parser(parser, tokenizer), tokenizer, [TOOL])

    return make


@pytest.mark.parametrize(
    ("name", "on", "end", "thinking"),
    [
        ("r1-distill", None, "<｜Assistant｜><think>\n", True),
        ("r1", None, "<｜Assistant｜><think>\n", True),
        ("v3.1", None, "<｜Assistant｜></think>", False),
        ("v3.1", True, "<｜Assistant｜><think>", True),
        ("v3.1", False, "<｜Assistant｜></think>", False),
        ("qwen3", None, "assistant\n", False),
        ("qwen3", True, "assistant\n", False),
        ("qwen3", False, "assistant\n<think>\n\n</think>\n\n", False),
        ("qwen3.5", None, "assistant\n<think>\n", True),
        ("qwen3.5", False, "assistant\n<think>\n\n</think>\n\n", False),
        ("glm", None, "<|assistant|>", False),
        ("glm", False, "<|assistant|>\n<think></think>", False),
        ("gpt-oss", None, "<|start|>assistant", False),
    ],
)
def test_the_prompt_says_whether_the_model_starts_in_its_trace(tokenizers, name, on, end, thinking):
    family = FAMILIES[name]
    prompt = family.prompt([HELLO], **family.thinks(on))
    reader = machine(family, tokenizers[name], prompt)
    assert prompt.endswith(end)
    assert reader
    assert reader.thinking is thinking


@pytest.mark.parametrize("name", ["qwen3-instruct", "llama", "plain"])
def test_a_family_that_does_not_think_needs_no_machine(tokenizers, name):
    family = FAMILIES[name]
    assert machine(family, tokenizers[name], family.prompt([HELLO])) is None


OUTPUTS = [
    # family, thinking, output, trace, answer, calls
    ("r1-distill", None, "Hm.\n</think>\n\n4 é.", "Hm.", "4 é.", []),
    ("r1-distill", None, "</think>\n\n4.", "", "4.", []),
    ("r1-distill", None, "\n</think>\n\n4.", "", "4.", []),
    ("r1-distill", None, "<think>\nHm.\n</think>\n\n4.", "Hm.", "4.", []),
    ("r1", None, f"Hm.\n</think>\n\nI look.{R1_CALL}", "Hm.", "I look.", SKY),
    ("r1", None, "Hm.\n</think>\n\n4.", "Hm.", "4.", []),
    ("v3.1", True, "Hm.</think>4.", "Hm.", "4.", []),
    ("v3.1", False, "4.", "", "4.", []),
    ("v3.1", None, V31_CALL, "", "", SKY),
    ("v3.1", None, f"I look.{V31_CALL}", "", "I look.", SKY),
    ("qwen3", None, "<think>\nHm.\n</think>\n\n4 é.", "Hm.", "4 é.", []),
    ("qwen3", True, "<think>\n\n</think>\n\n4.", "", "4.", []),
    ("qwen3", False, "4.", "", "4.", []),
    ("qwen3", None, f"<think>\nHm.\n</think>\n\n{CALL}", "Hm.", "", SKY),
    ("qwen3", None, f"<think>\nHm.\n</think>\n\nI look.\n{CALL}\n{CALL}", "Hm.", "I look.", SKY * 2),
    ("qwen3", None, f"<think>\n{DRAFT}\nor so.\n</think>\n\n{CALL}", f"{DRAFT}\nor so.", "", SKY),
    ("qwen3", None, f"<think>\n{DRAFT}\n</think>\n\n4.", DRAFT, "4.", []),
    ("qwen3-instruct", None, "4.", "", "4.", []),
    ("qwen3-instruct", None, CALL, "", "", SKY),
    ("qwen3.5", None, f"Hm.\n</think>\n\n{CODER_CALL}", "Hm.", "", SKY),
    ("qwen3.5", False, CODER_CALL, "", "", SKY),
    ("glm", None, "\n<think>Hm.</think>\n4.", "Hm.", "4.", []),
    ("glm", None, f"\n<think>Hm.</think>\n{GLM_CALL}", "Hm.", "", SKY),
    ("glm", False, "4.", "", "4.", []),
    ("gpt-oss", None, f"{ANALYSIS}Hm.{NEXT}{FINAL}4 é.", "Hm.", "4 é.", []),
    ("gpt-oss", None, f"{FINAL}4.", "", "4.", []),
    ("gpt-oss", None, f"{ANALYSIS}{NEXT}{FINAL}4.", "", "4.", []),
    ("gpt-oss", None, f"{ANALYSIS}Hm.{NEXT}{OSS_CALL}", "Hm.", "", SKY),
    ("gpt-oss", None, f"{ANALYSIS}Hm.{NEXT}{OSS_CALL_BY_ROLE}", "Hm.", "", SKY),
    ("gpt-oss", None, f"{ANALYSIS}{DRAFT}{NEXT}{FINAL}4.", DRAFT, "4.", []),
    (
        "gpt-oss",
        None,
        f"{ANALYSIS}Hm.{NEXT}<|channel|>commentary<|message|>I look.{NEXT}{OSS_CALL}",
        "Hm.",
        "I look.",
        SKY,
    ),
    ("llama", None, "4 é.", "", "4 é.", []),
    ("llama", None, '{"name": "sky", "parameters": {"at": 1}}', "", "", SKY),
    ("llama", None, '<|python_tag|>{"name": "sky", "parameters": {"at": 1}}', "", "", SKY),
    ("plain", None, "4 < 5 </think>", "", "4 < 5 </think>", []),
]


@pytest.mark.parametrize(("name", "on", "output", "trace", "answer", "calls"), OUTPUTS)
def test_an_output_is_told_apart(tokenizers, tool_reader, name, on, output, trace, answer, calls):
    family, tokenizer = FAMILIES[name], tokenizers[name]
    prompt = family.prompt([HELLO], **family.thinks(on))
    ids = tokenizer.encode(output, add_special_tokens=False)
    said = read(tokenizer, ids, machine(family, tokenizer, prompt), tool_reader(name))
    assert said[:2] == (trace, answer)
    assert [(call, json.loads(arguments)) for call, arguments in said[2]] == calls


TELLING = [row for row in OUTPUTS if not row[2].startswith("{")]  # half a call in bare JSON may be a JSON answer


@pytest.mark.parametrize(("name", "on", "output", "trace", "answer", "calls"), TELLING)
def test_an_output_that_is_cut_anywhere_leaks_nothing(tokenizers, tool_reader, name, on, output, trace, answer, calls):
    family, tokenizer = FAMILIES[name], tokenizers[name]
    prompt = family.prompt([HELLO], **family.thinks(on))
    ids = tokenizer.encode(output, add_special_tokens=False)
    for length in range(len(ids)):
        said = read(tokenizer, ids[:length], machine(family, tokenizer, prompt), tool_reader(name), cut=True)
        assert trace.startswith(said[0])
        assert answer.startswith(said[1].rstrip("\ufffd\n"))
        assert len(said[2]) <= len(calls)


@pytest.mark.parametrize("name", ["r1", "qwen3", "qwen3.5", "glm", "v3.1"])
def test_a_delimiter_that_is_spelled_out_is_text(tokenizers, name):
    family, tokenizer = FAMILIES[name], tokenizers[name]
    prompt = family.prompt([HELLO], **family.thinks(False))
    spelled = [id for text in ("a </th", "ink> b") for id in tokenizer.encode(text, add_special_tokens=False)]
    trace, answer, _ = read(tokenizer, spelled, machine(family, tokenizer, prompt))
    assert trace + answer == "a </think> b"


def test_the_budget_of_harmony_begins_and_ends_at_tokens_that_a_trace_has(tokenizers):
    """vLLM looks for these ids in what was generated, and forces the end: it must be all that ends every trace."""
    tokenizer, reasoning = tokenizers["gpt-oss"], FAMILIES["gpt-oss"].profile.reasoning
    written = tokenizer.encode(f"{ANALYSIS}Hm.{NEXT}{OSS_CALL}")
    start, end = tokenizer.encode(reasoning.start), tokenizer.encode(reasoning.end)
    assert written[: len(start)] == start
    assert end == [tokenizer.convert_tokens_to_ids("<|end|>")]
    assert written.count(end[0]) == 1


def call_of(arguments) -> dict:
    return {"id": "call_123456789", "type": "function", "function": {"name": "sky", "arguments": arguments}}


def earlier(family: Family, trace_field: str, arguments, *later) -> str:
    """A prompt whose assistant thought and called a tool, which answered."""
    turn = {"role": "assistant", "content": "", trace_field: "TRACE", "tool_calls": [call_of(arguments)]}
    return family.prompt([HELLO, turn, {"role": "tool", "content": "blue", "tool_call_id": "call_123456789"}, *later])


@pytest.mark.parametrize(
    ("name", "trace_field", "arguments"),
    [
        ("qwen3", "reasoning_content", {"at": 1}),
        ("qwen3.5", "reasoning_content", {"at": 1}),
        ("glm", "reasoning_content", {"at": 1}),
        ("gpt-oss", "thinking", {"at": 1}),
    ],
)
def test_a_template_that_knows_traces_replays_one_until_the_answer_has_come(name, trace_field, arguments):
    family = FAMILIES[name]
    answered = {"role": "assistant", "content": "It is blue."}
    assert "TRACE" in earlier(family, trace_field, arguments)
    assert "TRACE" not in earlier(family, trace_field, arguments, answered, HELLO)


@pytest.mark.parametrize("name", ["r1-distill", "r1", "qwen3-instruct", "llama"])
@pytest.mark.parametrize("trace_field", ["reasoning_content", "thinking"])
def test_the_other_templates_drop_every_trace(name, trace_field):
    arguments = '{"at": 1}' if name.startswith("r1") else {"at": 1}
    assert "TRACE" not in earlier(FAMILIES[name], trace_field, arguments)


def test_deepseeks_template_takes_arguments_as_text_only():
    assert '{"at": 1}' in earlier(FAMILIES["r1"], "thinking", '{"at": 1}')
    with pytest.raises(TypeError):
        earlier(FAMILIES["r1"], "thinking", {"at": 1})


@pytest.mark.parametrize("name", ["gpt-oss", "llama"])
def test_some_templates_would_quote_arguments_that_come_as_text(name):
    assert r"{\"at\": 1}" in earlier(FAMILIES[name], "thinking", '{"at": 1}')
    assert '{"at": 1}' in earlier(FAMILIES[name], "thinking", {"at": 1})
