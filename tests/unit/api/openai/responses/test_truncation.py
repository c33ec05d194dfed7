from fathom.api.openai.responses.truncation import place_to_cut, shortened
from hypothesis import given, settings
from hypothesis import strategies as st

SYSTEM = {"type": "message", "role": "system"}
USER = {"type": "message", "role": "user"}
ASSISTANT = {"type": "message", "role": "assistant"}
CALL = {"type": "function_call"}
RESULT = {"type": "function_call_output"}


async def cut(items, most: int) -> int:
    async def fits(rest) -> bool:
        return len(rest) <= most

    return await place_to_cut(items, fits)


async def test_what_fits_is_left_whole():
    assert await cut([USER, ASSISTANT, USER], 3) == 0


async def test_the_oldest_turns_go_first_and_whole():
    items = [USER, CALL, RESULT, ASSISTANT, USER, ASSISTANT, USER]
    assert await cut(items, 6) == 4
    assert await cut(items, 2) == 6


async def test_instructions_stay():
    items = [SYSTEM, USER, ASSISTANT, USER]
    assert await cut(items, 3) == 3
    assert shortened(items, 3) == [SYSTEM, USER]


async def test_the_last_turn_stays_even_if_it_does_not_fit():
    items = [USER, ASSISTANT, USER, CALL, RESULT]
    assert await cut(items, 1) == 2
    assert await cut([USER, CALL, RESULT], 1) == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from([SYSTEM, USER, ASSISTANT, CALL, RESULT]), max_size=12), st.integers(0, 12))
async def test_no_less_is_cut_than_needed_and_no_more(items, most):
    at = await cut(items, most)
    assert at == 0 or items[at] == USER
    others = [0, *(place for place, item in enumerate(items) if place and item == USER)]
    enough = [place for place in others if len(shortened(items, place)) <= most]
    assert at == (enough[0] if enough else others[-1])
