import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from inspect import isawaitable

from fathom.core.events import Queued
from fathom.serving.responses.draft import Draft
from fathom.serving.responses.run import Run
from fathom.serving.responses.service import Responses


async def begun(responses: Responses, draft: Draft) -> Run:
    """Once it is made."""
    async with aclosing(responses.begin(draft)) as told:
        async for each in told:
            run = each
    assert not isinstance(run, Queued)
    return run


async def soon(condition: Callable[[], object], what: str) -> None:
    """Wait for `condition()`, which may be a coroutine function; fail with `what` when it does not come."""
    for _ in range(2000):  # 20 s, on a busy machine
        met = condition()
        if await met if isawaitable(met) else met:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not soon: {what}")


async def never(awaitable: Awaitable[object], what: str, seconds: float = 0.1) -> None:
    """Fail with `what` if it comes within `seconds`."""
    try:
        came = await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        return
    raise AssertionError(f"{what}: {came}")
