"""One model's way of writing a trace: its delimiters as token ids, and a fresh machine for each choice."""

from collections.abc import Sequence

from transformers import TokenizersBackend

from fathom.engine.harmony import HarmonyMachine, HarmonyTokens, open_header
from fathom.engine.prompt import Rendered
from fathom.engine.reader import Machine
from fathom.engine.reasoning import Delimiter, ReasoningMachine
from fathom.models.profiles import Reasoning


class Machines:
    """`start`, `end`: the delimiters. `end_tokens`: how many tokens the end takes. `keeps_markup`: the machine looks
    for special tokens in the text. `excluded`: tokens that have no place in a trace: they begin and end turns."""

    def __init__(self, tokenizer: TokenizersBackend, reasoning: Reasoning) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._start_ids = tokenizer.encode(reasoning.start, add_special_tokens=False)
        end_ids = tokenizer.encode(reasoning.end, add_special_tokens=False)
        self.start, self.end = _delimiter(reasoning.start, self._start_ids), _delimiter(reasoning.end, end_ids)
        self.end_tokens = len(end_ids)
        special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._spelled_with_markup = any(len(ids) > 1 and special & {*ids} for ids in (self._start_ids, end_ids))
        self.excluded = tuple(
            Delimiter(token.content, token_id)
            for token_id, token in tokenizer.added_tokens_decoder.items()
            if token.special and token.content not in (reasoning.start, reasoning.end)
        )
        self._harmony = HarmonyTokens.of(self._backend) if reasoning.format == "harmony" else None

    @property
    def keeps_markup(self) -> bool:
        return self._harmony is None and self._spelled_with_markup

    def make(self, prompt: Rendered, *, constrained: bool = False, calls: bool = False) -> Machine | None:
        """`constrained`: a grammar says where the answer begins, and delimiters in it are text. `calls`: there are
        tools to call."""
        if self._harmony:
            within = open_header(self._backend, self._harmony, prompt.ids)
            return HarmonyMachine(self._harmony, within=within, may_call=calls)
        if constrained and not prompt.thinks:
            return None
        return ReasoningMachine(
            self.start,
            self.end,
            thinking=prompt.thinking,
            begun=prompt.continues,
            thought=prompt.thought,
            once=constrained,
        )

    def delimiter_tokens(self, *, opened: bool) -> int:
        """Tokens of a trace that are delimiters. `opened`: the prompt holds the start."""
        return self.end_tokens + (0 if opened else len(self._start_ids))

    def trace_tokens(self, ids: Sequence[int]) -> int:
        """How many tokens of a prompt follow its last start delimiter."""
        width = len(self._start_ids)
        starts = (at for at in range(len(ids) - width, -1, -1) if list(ids[at : at + width]) == self._start_ids)
        return len(ids) - next(starts, len(ids) - width) - width


def _delimiter(text: str, ids: list[int]) -> Delimiter:
    return Delimiter(text, ids[0] if len(ids) == 1 else None)
