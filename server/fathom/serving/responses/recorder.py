"""Writes runs to the store, all of them together: one transaction for whatever came since the last one."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from fathom.core.errors import StoreUnavailable
from fathom.serving.responses.run import SURPRISE, Ending, Run
from fathom.store.database import Database, Work
from fathom.store.events import KeptEvent
from fathom.telemetry import metrics

log = structlog.get_logger()

EVERY = 0.5
"""Seconds between two writes of what runs produce."""

PATIENCE = 10.0
"""Seconds that clients wait for the end of a response to be stored before they are told that it could not be."""

_AWAY = 2
"""Runs that the store could not take one by one, after which it is taken to be the store's fault."""

_SILENT = StoreUnavailable(
    "The server's database does not answer, so the end of this response is not stored yet. Look for it later.",
    retry_after=5.0,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What there was of a run at one moment: it may go on while that is written."""

    run: Run
    mark: int
    ending: Ending | None
    begun: bool
    events: list[KeptEvent]


class Recorder:
    """The only writer of rows whose responses this server is making."""

    def __init__(self, database: Database, owner: str, expiry: Callable[[], int]) -> None:
        self._database, self._owner, self._expiry = database, owner, expiry
        self.freed: Callable[[], None] = lambda: None  # told when a run has left
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, float] = {}  # since when an end waits to be stored
        self._trouble: StoreUnavailable = _SILENT
        self._hurry = asyncio.Event()
        self._any = asyncio.Event()  # set as long as something runs

    @property
    def background(self) -> int:
        """How many background responses run here."""
        return sum(run.background for run in self._runs.values())

    def ids(self) -> Collection[str]:
        """Of all that runs here."""
        return self._runs.keys()

    def find(self, tenant: str, response_id: str) -> Run | None:
        run = self._runs.get(response_id)
        return run if run and run.tenant == tenant else None

    def watch(self, run: Run) -> None:
        self._runs[run.id] = run
        self._any.set()

    def tell(self) -> None:
        """There is something that should not wait."""
        self._hurry.set()

    async def work(self) -> None:
        """Write for ever."""
        while await self._any.wait():
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):  # wait_for of Python 3.11 may swallow that we are cancelled
                    await self._hurry.wait()
            self._hurry.clear()
            if not await self.flush():
                await asyncio.sleep(EVERY)

    async def stop(self) -> None:
        """End what runs: what nobody has seen goes back to the queue."""
        runs = list(self._runs.values())
        await asyncio.gather(*(run.stopped("stopped" if run.begun else "released") for run in runs))
        await self.flush()

    async def flush(self) -> bool:
        """Write all that is there. Returns whether the store took it."""
        dirty = [run for run in self._runs.values() if run.dirty]
        if not dirty:
            return True
        return await self._write(dirty) or await self._one_by_one(dirty)

    async def _one_by_one(self, runs: Sequence[Run]) -> bool:
        """One that the store cannot take must not hold up the others, nor two of them for long: hence in any order."""
        if len(runs) == 1:
            return False
        failed = 0
        for run in random.sample(runs, len(runs)):
            failed += not await self._write([run])
            if failed == _AWAY:
                break
        return not failed

    async def _write(self, runs: Sequence[Run]) -> bool:
        pieces = [_Piece(run, run.mark, run.ending, run.begun or run.produces, run.unsaved()) for run in runs]
        try:
            async with self._database.transaction() as work:
                ours = [await self._save(work, piece) for piece in pieces]
        except StoreUnavailable as error:
            self._trouble = error
            return False
        except Exception:  # a bug of ours: it costs the run that has it, and not those beside it
            log.exception("responses not stored", response_ids=[run.id for run in runs][:10])
            if len(runs) == 1:
                runs[0].lose()
                runs[0].close(SURPRISE)
                self._leave(runs[0])
            return False
        self._trouble = _SILENT
        for piece, is_ours in zip(pieces, ours, strict=True):
            self._saved(piece, is_ours)
        return True

    async def _save(self, work: Work, piece: _Piece) -> bool:
        """Returns whether the row was still ours."""
        run = piece.run
        if piece.ending == "lost":
            return False
        if piece.ending == "released":
            return await work.responses.release(run.id, self._owner)
        if not piece.ending:
            return await work.responses.note(run.id, self._owner, piece.events, piece.begun)
        body = run.transcript.body()
        output, status = body.pop("output"), body["status"]
        finished = await work.responses.finish(run.id, status, body, output, self._expiry(), self._owner, piece.events)
        return finished or await self._has_ended_so(work, piece, status)

    async def _has_ended_so(self, work: Work, piece: _Piece, status: str) -> bool:
        """Whether an earlier try was a commit after all, without an answer. The number of the end tells: another's end
        is far behind it."""
        stored = await work.responses.get(piece.run.tenant, piece.run.id)
        return bool(stored and stored.status == status and stored.next_number == piece.events[-1].number + 1)

    def _saved(self, piece: _Piece, ours: bool) -> None:
        if not ours:
            piece.run.lose()
            self._leave(piece.run)
        elif piece.ending:
            piece.run.close()
            self._leave(piece.run)
        else:
            piece.run.saved(piece.mark, begun=piece.begun)

    def _leave(self, run: Run) -> None:
        metrics.RESPONSES.labels(ending=run.ending).inc()
        self._runs.pop(run.id, None)
        self._ended.pop(run.id, None)
        if not self._runs:
            self._any.clear()
        self.freed()

    async def give_up(self) -> None:
        """For ever: tell those who have waited long enough, however long a write takes. The end is still stored as
        soon as that can be done."""
        while await self._any.wait():
            await asyncio.sleep(EVERY)
            now = time.monotonic()
            for run in self._runs.values():
                if run.ended and not run.over and now - self._ended.setdefault(run.id, now) > PATIENCE:
                    log.warning("response not stored", response_id=run.id, reason=self._trouble.message)
                    run.close(self._trouble)
