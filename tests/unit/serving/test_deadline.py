import asyncio

import pytest
from fathom.core.errors import DeadlineExceeded, RequestTimeout, ShuttingDown
from fathom.serving.deadline import Deadline
from fathom.serving.live import Live
from fathom.settings import LimitSettings
from prometheus_client import REGISTRY


def exceeded(limit: str) -> float:
    return REGISTRY.get_sample_value("fathom_deadlines_exceeded_total", {"limit": limit}) or 0


def limits(queue: float = 60, total: float = 60) -> LimitSettings:
    return LimitSettings(queue_timeout=queue, total_timeout=total)


async def never() -> None:
    await asyncio.sleep(60)


async def soon() -> str:
    await asyncio.sleep(0.1)
    return "done"


async def test_what_comes_in_time_is_given_back():
    deadline = Deadline(limits(), 30)
    assert await deadline.wait(soon) == "done"
    deadline.close()


@pytest.mark.parametrize(
    ("limit", "deadline", "error"),
    [
        ("queue", lambda: Deadline(limits(queue=0.05)), DeadlineExceeded),
        ("total", lambda: Deadline(limits(total=0.05)), DeadlineExceeded),
        ("client", lambda: Deadline(limits(), 0.05), RequestTimeout),
    ],
)
async def test_what_takes_longer_than_a_limit_is_cancelled_says_so_and_is_counted_once(limit, deadline, error):
    before, cancelled = exceeded(limit), []

    async def stubborn() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(error, match=r"0\.05 s"):
        await deadline().wait(stubborn)
    assert cancelled == [True]
    assert exceeded(limit) == before + 1
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0


async def test_the_first_token_ends_the_wait_in_the_queue_and_not_the_rest():
    deadline = Deadline(limits(queue=0.05, total=0.3))
    deadline.produces()
    assert await deadline.wait(soon) == "done"
    with pytest.raises(DeadlineExceeded, match="total_timeout"):
        await deadline.wait(never)


async def test_the_patient_wait_in_the_queue_as_long_as_they_must():
    deadline = Deadline(limits(queue=0.01), patient=True)
    assert await deadline.wait(soon) == "done"
    deadline.close()


async def test_what_is_over_before_anything_is_waited_for_fails_at_the_next_step():
    deadline = Deadline(limits(total=0.01))
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded):
        await deadline.wait(soon)


async def test_of_a_client_that_gives_more_than_the_server_does_the_server_s_limit_holds():
    with pytest.raises(DeadlineExceeded):
        await Deadline(limits(total=0.05), 30).wait(never)


async def test_a_cancelled_task_stays_cancelled_also_when_the_deadline_passes_too():
    deadline = Deadline(limits(total=0.05))
    waiting = asyncio.ensure_future(deadline.wait(never))
    await asyncio.sleep(0)
    deadline.end(ShuttingDown("now"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    deadline.close()


async def test_whatever_is_under_way_is_counted_and_can_be_ended():
    live = Live(limits())

    async def one() -> None:
        with live.deadline() as deadline:
            await deadline.wait(never)

    work = [asyncio.ensure_future(one()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert live.live == 3
    live.end(ShuttingDown("it is over"))
    ends = await asyncio.gather(*work, return_exceptions=True)
    assert [type(end) for end in ends] == [ShuttingDown] * 3
    assert live.live == 0
