"""Ending a response that no run of this server makes."""

from collections.abc import Callable
from dataclasses import replace

from fathom.serving.responses.draft import Dialect, Frame, Transcript
from fathom.store.database import Database
from fathom.store.events import KeptEvent
from fathom.store.responses import StoredResponse

GAP = 1_000_000
"""More events than a server can have shown and not stored: the last event of a response that was taken from it is
numbered behind all of them, so that whoever resumes the stream gets it."""

How = Callable[[Transcript], list[Frame]]


async def end(
    database: Database, dialect: Dialect, stored: StoredResponse, how: How, expires_at: int, owner: str | None
) -> bool:
    """Returns False, and changes nothing, if it has ended or is not `owner`'s any more (None: whoever has it)."""
    async with database.transaction() as work:
        found = await work.responses.get(stored.tenant, stored.id)  # it may have been begun since it was read
        if found is None or found.ended:
            return False
        gap = GAP if found.owner else 0
        transcript = dialect.transcript(replace(found, next_number=found.next_number + gap))
        last = how(transcript)[-1]
        assert last.kept is not None, "the last frame is always kept"
        body = transcript.body()
        output = body.pop("output")
        event = KeptEvent(last.number, last.kind, last.kept)
        return await work.responses.finish(found.id, body["status"], body, output, expires_at, owner, [event])
