"""The conversation that a response goes on with."""

from collections.abc import Iterator

from fathom.core.errors import BadRequest
from fathom.serving.responses.draft import Json
from fathom.store.database import Database
from fathom.store.responses import Turn


async def history(database: Database, tenant: str, previous_id: str | None) -> list[Json]:
    """Items of all responses up to `previous_id`, oldest first. Raises BadRequest where one is missing."""
    if previous_id is None:
        return []
    async with database.reading() as work:
        ended = await work.responses.has_ended(tenant, previous_id)
        conversation = await work.responses.conversation(tenant, previous_id, limited=True) if ended else None
    if ended is False:
        raise BadRequest(
            f"The response {previous_id[:100]!r} has not ended yet, and so cannot be gone on from. Wait until it has.",
            param="previous_response_id",
        )
    if conversation is None:
        raise BadRequest(
            f"There is no response {previous_id[:100]!r} to go on from: it was never stored, was deleted, or is too "
            "old. Send the whole conversation as input.",
            param="previous_response_id",
        )
    if conversation.missing:
        raise BadRequest(
            f"The conversation of {previous_id[:100]!r} goes through {conversation.missing}, which was deleted. Send "
            "the whole conversation as input.",
            param="previous_response_id",
        )
    return list(items(conversation.turns))


def items(turns: list[Turn]) -> Iterator[Json]:
    """Of each turn, what went in, then what came out."""
    for turn in turns:
        yield from turn.input
        yield from turn.output
