"""What gpt-oss may write under a grammar: its trace, then a call or an answer, in its own channels."""

import json

import pytest
import xgrammar
from fathom.core.generation import Chat, GenerationRequest, Message, Structure, Tool, ToolUse
from fathom.engine.grammar_check import GrammarChecker
from fathom.engine.plan import Planner
from fathom.models.profiles import by_name
from tokenizers import AddedToken

from tests.tokenizers import small_tokenizer

TOKENS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>")
TOOL = Tool("find", parameters={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
TRACE = "<|channel|>analysis<|message|>the sky<|end|>"
CALL = '<|start|>assistant<|channel|>commentary to=functions.find <|constrain|>json<|message|>{"n": 4}'
ANSWER = '<|start|>assistant<|channel|>final<|message|>{"n": 4}'


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = small_tokenizer()
    tokenizer.backend_tokenizer.add_special_tokens([AddedToken(token, special=True) for token in TOKENS])
    return tokenizer


class Trusting(GrammarChecker):
    async def check(self, tag: str, param: str) -> None:
        pass


async def accepts(tokenizer, text: str, *, uses: ToolUse | None = None, structure: Structure | None = None) -> bool:
    planner = Planner(tokenizer, by_name("gpt-oss"), context_length=4096, checker=Trusting("{}"))
    chat = Chat((Message("user", "hello"),), uses or ToolUse())
    plan = await planner.plan(GenerationRequest("r", chat, structure=structure))
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
    compiled = xgrammar.GrammarCompiler(info).compile_structural_tag(plan.tag)
    matcher = xgrammar.GrammarMatcher(compiled)
    ids = tokenizer.encode(text, add_special_tokens=False)
    return all(matcher.accept_token(each) for each in ids) and matcher.accept_token(tokenizer.eos_token_id)


REQUIRED = ToolUse((TOOL,), "required")
SCHEMA = Structure("json_schema", TOOL.parameters)


async def test_a_required_call_comes_in_its_own_channel(tokenizer):
    assert await accepts(tokenizer, TRACE + CALL, uses=REQUIRED)
    assert not await accepts(tokenizer, TRACE + ANSWER, uses=REQUIRED)
    assert not await accepts(tokenizer, TRACE + CALL.replace("4", '"four"'), uses=REQUIRED)
    assert not await accepts(tokenizer, CALL, uses=REQUIRED)


async def test_a_structured_answer_comes_in_the_final_channel(tokenizer):
    assert await accepts(tokenizer, TRACE + ANSWER, structure=SCHEMA)
    assert not await accepts(tokenizer, TRACE + CALL, structure=SCHEMA)


async def test_with_tools_and_a_schema_either_will_do(tokenizer):
    for text in (CALL, ANSWER):
        assert await accepts(tokenizer, TRACE + text, uses=ToolUse((TOOL,)), structure=SCHEMA)
    assert json.loads(ANSWER.rpartition("<|message|>")[2]) == {"n": 4}
