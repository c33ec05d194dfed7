"""What a request becomes: token ids, limits, what the output must match, and who reads each choice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import TokenizersBackend

from fathom.core.errors import Unsupported
from fathom.core.generation import Chat, GenerationRequest, Sampling, Structure, Tool, ToolUse
from fathom.engine import structure, tool_grammar
from fathom.engine.brief_schema import brief
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.grammar_check import GrammarChecker
from fathom.engine.machines import Machines
from fathom.engine.prompt import PromptRenderer, Rendered
from fathom.engine.reader import TurnReader
from fathom.engine.sampling import completion_limit, engine_budget, thinking_budget
from fathom.engine.schema_check import check_schema
from fathom.engine.structure import TracePrefix
from fathom.engine.tag_check import Format
from fathom.engine.tool_grammar import harmony_calls
from fathom.engine.tool_parsers import find_parser
from fathom.engine.tools import ToolReader
from fathom.models.profiles import Profile


@dataclass(frozen=True, slots=True)
class Plan:
    """limit: most tokens that may follow `prompt`. budget: what vLLM is told of the trace's. tag: the structural tag
    that the output must match. readers: one a choice."""

    prompt: Rendered
    limit: int
    budget: int | None
    tag: str | None
    readers: tuple[TurnReader, ...]


class Planner:
    """Knows one model's tokenizer, family and context length (in tokens). Raises StartupError for an unknown parser."""

    def __init__(
        self,
        tokenizer: TokenizersBackend,
        profile: Profile,
        *,
        context_length: int,
        checker: GrammarChecker,
    ) -> None:
        self.renderer = PromptRenderer(tokenizer, profile, context_length)
        self.token_bytes = TokenBytes(tokenizer.backend_tokenizer)
        self._tokenizer, self._profile, self._checker = tokenizer, profile, checker
        self._context_length = context_length
        self._machines = Machines(tokenizer, profile.reasoning) if profile.reasoning else None
        self._parser = self.renderer.tool_parser or tool_grammar.FALLBACK
        self._harmony = profile.reasoning is not None and profile.reasoning.format == "harmony"
        find_parser(self._parser, tokenizer)

    async def plan(self, request: GenerationRequest) -> Plan:
        """Raises BadRequest and its kin for what cannot be done as asked."""
        uses = request.prompt.tools if isinstance(request.prompt, Chat) else ToolUse()
        body = self._body(request, uses)
        prompt = await self.renderer.render(request.prompt, request.reasoning)
        param = request.prompt.param if isinstance(request.prompt, Chat) else "prompt"
        limit = completion_limit(request.sampling, len(prompt.ids), self._context_length, param)
        most, sampling = request.caller.limits.max_context, request.sampling
        if most is not None and (sampling.max_tokens is None or sampling.max_tokens_fit):
            limit = min(limit, max(1, (most - len(prompt.ids)) // request.n))  # what the key allows, unless it is named
        budget = self._budget(request, prompt, limit)
        tag = None
        if body is not None:
            if self._harmony and not prompt.thinks:
                raise Unsupported(
                    "This model's answers can only follow a grammar behind a trace: in a chat, and not in a turn that "
                    "is continued.",
                    param=request.structure.param if request.structure else "tools",
                )
            if request.structure or uses.mode == "required":
                _check_beside(request.sampling)
            if budget is None and prompt.thinks:
                budget = limit // 2  # under a grammar, a turn cannot end inside its trace
            await self._checker.check(
                structure.structural_tag(body), request.structure.param if request.structure else "tools"
            )
            tag = structure.structural_tag(body, self._prefix(prompt, budget))
        constrained = tag is not None and (request.structure is not None or uses.mode == "required")
        readers = tuple(self._reader(request, uses, prompt, budget, constrained) for _ in range(request.n))
        return Plan(prompt, limit, None if tag else self._engine_budget(prompt, budget), tag, readers)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _body(self, request: GenerationRequest, uses: ToolUse) -> Format | None:
        """What the answer must match: calls, the client's structure, or either of them where the model may choose."""
        answer = self._answer(request.structure) if request.structure else None
        if not uses.tools or uses.mode == "none":
            return answer
        if answer or uses.mode == "required":
            calls = self._calls(uses)
            return calls if uses.mode == "required" or not answer else {"type": "or", "elements": [calls, answer]}
        self._check_schemas([tool for tool in uses.tools if tool.strict])
        if self._harmony:
            return None
        return tool_grammar.call_body(self._parser, uses.tools, "auto", uses.parallel, short=self._profile.brief)

    def _answer(self, asked: Structure) -> Format:
        structure.check_limits(asked)
        if asked.kind == "json_schema" and self._profile.brief:
            asked = replace(asked, value=brief(asked.value))
        return structure.lead_in(self._lead, structure.body(asked)) if self._harmony else structure.body(asked)

    def _calls(self, uses: ToolUse) -> Format:
        self._check_schemas(uses.tools)
        if self._harmony:
            return harmony_calls(uses.tools)
        calls = tool_grammar.call_body(self._parser, uses.tools, "required", uses.parallel, short=self._profile.brief)
        assert calls is not None
        return calls

    def _check_schemas(self, tools: Sequence[Tool]) -> None:
        for tool in tools:
            if tool.parameters is not None:
                structure.check_size(tool.parameters, f"tools.{tool.name}.parameters")
                check_schema(tool.parameters, f"tools.{tool.name}.parameters")

    @property
    def _lead(self) -> str:
        """What stands between the end of the trace and the answer."""
        reasoning = self._profile.reasoning
        return reasoning.closing.partition(reasoning.end)[2] if reasoning else ""

    def _prefix(self, prompt: Rendered, budget: int | None) -> TracePrefix | None:
        machines = self._machines
        if machines is None or not prompt.thinks:
            return None
        return TracePrefix(
            end=machines.end,
            lead="" if self._harmony else self._lead,  # in harmony, the message to come says whether it is a call
            start=None if prompt.thinking else machines.start,
            budget=budget,
            excluded=machines.excluded,
        )

    def _budget(self, request: GenerationRequest, prompt: Rendered, limit: int) -> int | None:
        reasoning, machines = self._profile.reasoning, self._machines
        if reasoning is None or machines is None or not prompt.thinks:
            return None
        control = request.reasoning
        return thinking_budget(control, reasoning, limit, machines.end_tokens)

    def _engine_budget(self, prompt: Rendered, budget: int | None) -> int | None:
        if self._machines is None or not prompt.thinking:
            return budget
        return engine_budget(budget, self._machines.trace_tokens(prompt.ids))

    def _reader(
        self, request: GenerationRequest, uses: ToolUse, prompt: Rendered, budget: int | None, constrained: bool
    ) -> TurnReader:
        machines = self._machines if prompt.chat else None
        calls = None
        if uses.tools and uses.mode != "none" and not self._harmony:
            made = uses.mode == "required" or request.structure is not None
            parser = tool_grammar.grammar_parser(self._parser, "required" if made else "auto")
            calls = ToolReader(find_parser(parser, self._tokenizer), self._tokenizer, uses.tools)
        keeps_markup = calls is not None or (machines is not None and machines.keeps_markup)
        return TurnReader(
            Detokenizer(self.token_bytes, prompt.ids, skip_special_tokens=not keeps_markup),
            self.token_bytes,
            machine=machines.make(prompt, constrained=constrained, calls=bool(uses.tools) and uses.mode != "none")
            if machines
            else None,
            calls=calls,
            sampling=request.sampling,
            most_reasoning=None
            if budget is None or machines is None
            else budget + machines.delimiter_tokens(opened=prompt.thinking),
            parallel_calls=uses.parallel,
            report_ids=request.token_ids,
        )


_BESIDE = ("ignore_eos", "min_tokens", "bad_words", "stop_token_ids", "logit_bias")


def _check_beside(sampling: Sampling) -> None:
    """What fights with a grammar: the model would go on behind its end, or find no token that it may take."""
    for name in _BESIDE:
        if getattr(sampling, name):
            raise Unsupported(
                f"{name} does not go with structured output or required tool calls, which say by themselves what comes "
                f"and when it ends. Leave {name} out.",
                param=name,
            )
