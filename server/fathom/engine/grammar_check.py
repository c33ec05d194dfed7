"""Whether a grammar compiles, and soon enough, found out in a process that can be killed.

A schema, a pattern or a grammar of a few bytes can keep xgrammar busy for minutes, or take gigabytes, and neither our
event loop nor vLLM can take it back. So each is tried out in a child first, one at a time, and its verdict kept.
"""

import asyncio
import json
import struct
import sys
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from fathom.core.errors import BadRequest, EngineUnavailable, ServiceError, Unsupported

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_KEPT = 1_024
_MOST_WAITING = 32
_PATIENCE = 1.0  # seconds that a grammar may wait for its turn, beyond those that it may take


def tokenizer_info(tokenizer: "PreTrainedTokenizerBase", vocab_size: int) -> str:
    """What the child needs to know of the model. `vocab_size` is the model's, not the tokenizer's."""
    import xgrammar  # heavy, and here only

    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocab_size)
    return str(info.serialize_json())


@dataclass(frozen=True, slots=True)
class _Verdict:
    kind: str
    reason: str

    def refusal(self, param: str) -> ServiceError | None:
        match self.kind:
            case "good":
                return None
            case "ignored":
                return Unsupported(
                    f"`{param}` asks for what cannot be enforced: {self.reason}. Remove it.", param=param
                )
            case "complex":
                fix = "Make it smaller: fewer properties and choices, shorter repetitions, rules that do not overlap."
                return BadRequest(f"`{param}` is too complex: {self.reason}. {fix}", param=param)
        return BadRequest(f"`{param}` cannot be used as a grammar: {self.reason}. Correct it.", param=param)


class GrammarChecker:
    """`seconds`: the most that one grammar may take. The child is started on the first use, or by warm_up."""

    def __init__(self, tokenizer_info_json: str, *, seconds: float = 5.0) -> None:
        self._info = tokenizer_info_json.encode()
        self._seconds = seconds
        self._child: _Child | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._endings: set[asyncio.Task[None]] = set()

    async def warm_up(self) -> None:
        """Start the child. Raises EngineUnavailable."""
        async with self._turn:
            await self._started()

    async def check(self, tag: str, param: str) -> None:
        """Raises BadRequest for a structural tag that is invalid or takes too much, EngineUnavailable if nobody could
        tell in time. Give it the answer's tag alone, without the trace: then it is known again under another budget.
        """
        key = sha256(tag.encode()).digest()
        verdict = self._verdicts.get(key) or await self._wait(key, tag)
        self._verdicts.move_to_end(key)
        if refusal := verdict.refusal(param):
            raise refusal

    async def stop(self) -> None:
        child, self._child = self._child, None
        if child:
            self._discard(child)
        await asyncio.gather(*self._endings)

    async def _wait(self, key: bytes, tag: str) -> _Verdict:
        if self._waiting >= _MOST_WAITING:
            raise self._busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds + _PATIENCE), self._turn:
                known = self._verdicts.get(key)  # the same may have been asked by who was before us
                return known or self._keep(key, await self._try_out(tag))
        except TimeoutError:
            raise self._busy() from None
        finally:
            self._waiting -= 1

    async def _try_out(self, tag: str) -> _Verdict:
        used_before = self._child is not None
        child = await self._started()
        self._child = None  # until it has answered: a caller that goes away leaves it in the middle of something
        try:
            async with asyncio.timeout(self._seconds):
                verdict = await child.ask(tag)
            self._child = child
        except TimeoutError:
            return _Verdict("complex", f"it takes more than {self._seconds:g} s to compile")
        except (asyncio.IncompleteReadError, ConnectionError):
            if used_before:  # it may have ended before it was asked
                return await self._try_out(tag)
            return _Verdict("complex", "compiling it takes more memory than it may")
        finally:
            if self._child is not child:
                self._discard(child)
        return verdict

    async def _started(self) -> "_Child":
        if self._child is None:
            try:
                self._child = await self._start()
            except (OSError, asyncio.IncompleteReadError) as error:
                raise EngineUnavailable(
                    "Structured output cannot be checked now, as the process for it does not start. Try again, or ask "
                    "without structured output.",
                    retry_after=5,
                ) from error
        return self._child

    async def _start(self) -> "_Child":
        child = await _Child.spawn()
        ready = False
        try:
            await child.exchange(self._info)
            ready = True
        finally:
            if not ready:
                self._discard(child)
        return child

    def _discard(self, child: "_Child") -> None:
        """Nobody waits for its end: on a busy machine that takes a second."""
        ending = asyncio.create_task(child.end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _keep(self, key: bytes, verdict: _Verdict) -> _Verdict:
        self._verdicts[key] = verdict
        if len(self._verdicts) > _KEPT:
            self._verdicts.popitem(last=False)
        return verdict

    def _busy(self) -> EngineUnavailable:
        return EngineUnavailable(
            "Too many new schemas or grammars are waiting to be checked. Try again in some seconds.",
            retry_after=self._seconds,
        )


class _Child:
    """The process; grammar_child.py has the other end and the frames."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def spawn(cls) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fathom.engine.grammar_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return cls(process)

    async def ask(self, tag: str) -> _Verdict:
        return _Verdict(*json.loads(await self.exchange(tag.encode())))

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def exchange(self, data: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(struct.pack(">I", len(data)) + data)
        await stdin.drain()
        (size,) = struct.unpack(">I", await stdout.readexactly(4))
        return await stdout.readexactly(size)
