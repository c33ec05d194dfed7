import asyncio

import pytest
from fathom.core.merging import merge


async def count(name: str, most: int, *, every: float = 0.0, closed: list[str] | None = None, fail: bool = False):
    try:
        for at in range(most):
            await asyncio.sleep(every)
            yield f"{name}{at}"
        if fail:
            raise ValueError(name)
    finally:
        if closed is not None:
            closed.append(name)


@pytest.mark.parametrize("streams", [1, 2, 5])
async def test_everything_comes_and_each_stream_keeps_its_order(streams: int):
    names = "abcde"[:streams]
    merged = [item async for item in merge([count(name, 40) for name in names])]
    for name in names:
        assert [item for item in merged if item[0] == name] == [f"{name}{at}" for at in range(40)]
    assert len(merged) == 40 * streams


async def test_a_slow_stream_does_not_hold_up_a_fast_one():
    merged = [item async for item in merge([count("slow", 2, every=0.05), count("fast", 5)])]
    assert merged[:5] == [f"fast{at}" for at in range(5)]


async def test_a_failure_is_raised_at_once_and_closes_the_others():
    closed: list[str] = []
    with pytest.raises(ValueError, match="bad"):
        async for _ in merge([count("bad", 1, fail=True), count("long", 10_000, every=0.01, closed=closed)]):
            pass
    assert closed == ["long"]


async def test_a_consumer_that_leaves_closes_all_even_while_items_wait():
    closed: list[str] = []
    merged = merge([count("a", 10_000, closed=closed), count("b", 10_000, closed=closed)])
    await anext(merged)
    await asyncio.sleep(0.01)
    await asyncio.wait_for(merged.aclose(), 1)
    assert sorted(closed) == ["a", "b"]
