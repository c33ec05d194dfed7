"""truncation: auto. The oldest turns are left out of a conversation that is too long."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fathom.api.openai.responses.turns import begins_turn, instructs

Json = dict[str, Any]


def shortened(items: Sequence[Json], cut: int) -> list[Json]:
    """Without the first `cut` items, of which instructions stay."""
    return [*(item for item in items[:cut] if instructs(item)), *items[cut:]]


async def place_to_cut(items: Sequence[Json], fits: Callable[[Sequence[Json]], Awaitable[bool]]) -> int:
    """How many items to leave out so that the rest `fits`: whole turns, and as few as will do. The last turn stays,
    even if it does not fit alone."""
    if await fits(items):
        return 0
    cuts = [at for at, item in enumerate(items) if at and begins_turn(item)]
    below, above = 0, len(cuts) - 1
    while below < above:
        middle = (below + above) // 2
        if await fits(shortened(items, cuts[middle])):
            above = middle
        else:
            below = middle + 1
    return cuts[above] if cuts else 0
