from itertools import islice
from typing import Any

import pytest
from fathom.cli.bench_plan import Plan, levels_of, prose
from fathom.core.errors import StartupError


def bodies(count: int, **fields: Any) -> list[dict[str, Any]]:
    return list(islice(Plan((1,), **fields).bodies("m"), count))


def test_levels_are_a_list_of_numbers() -> None:
    assert levels_of("1, 16,64", None) == (1, 16, 64)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "two", "5000", "1.5", "²"])
def test_what_is_no_list_of_numbers_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(StartupError, match=r"--streams .* is no list of numbers from 1 to 4096; it looks like 1,16,64"):
        levels_of(text, None)


def test_fewer_requests_than_streams_are_refused() -> None:
    with pytest.raises(StartupError, match="--requests 8 cannot fill 16 streams; give at least 16"):
        levels_of("1,16", 8)


@pytest.mark.parametrize(("streams", "requests"), [(1, 4), (2, 4), (16, 32)])
def test_requests_follow_the_streams_unless_they_are_given(streams: int, requests: int) -> None:
    assert Plan((1,)).requests_at(streams) == requests
    assert Plan((1,), requests=7).requests_at(streams) == 7


def test_no_two_prompts_begin_alike() -> None:
    prompts = [body["messages"][0]["content"] for body in bodies(500)]
    assert len({tuple(prompt.split()[:4]) for prompt in prompts}) == 500


def test_a_seed_makes_the_same_prompts_again_and_another_one_others() -> None:
    assert bodies(3, seed=7) == bodies(3, seed=7)
    assert bodies(3, seed=7) != bodies(3, seed=8)


def test_a_shared_prefix_is_one_system_message_before_prompts_that_differ() -> None:
    first, second = bodies(2, shared_prefix=50)
    assert first["messages"][0] == second["messages"][0]
    assert first["messages"][0]["role"] == "system"
    assert first["messages"][1] != second["messages"][1]


@pytest.mark.parametrize("tokens", [1, 2, 20, 100, 1000])
def test_text_has_a_token_for_each_word_and_each_full_stop(tokens: int) -> None:
    text = prose(tokens, "seed")
    assert abs(len(text.split()) + text.count(".") - tokens) <= 1


def test_the_switch_for_thinking_is_sent_in_both_names_that_templates_know() -> None:
    [body] = bodies(1, thinking=False)
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}


def test_what_is_not_asked_for_is_not_sent() -> None:
    [body] = bodies(1)
    assert body.keys() == {"model", "messages", "max_tokens"}


def test_fields_of_the_user_win() -> None:
    [body] = bodies(1, ignore_eos=True, fields={"temperature": 0, "max_tokens": 5})
    assert (body["temperature"], body["max_tokens"], body["ignore_eos"]) == (0, 5, True)
