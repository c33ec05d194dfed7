"""What only a server with a model can show. It is the server of the other tests, so it has to be whole afterwards."""

import pytest

from tests.hostile import bodies, grammars, http_cases, limits, specials
from tests.hostile.runner import send_all
from tests.hostile.target import Target
from tests.hostile.wire import try_bytes


def test_more_than_anybody_may_ask_for_is_refused(real: Target) -> None:
    with real.abused("limits") as score:
        cases = (case for case in limits.refused(real) if case.path != limits.EMBEDDINGS)
        send_all(real, cases, score)


def test_ids_that_are_no_tokens_are_refused(real: Target) -> None:
    with real.abused("ids") as score:
        send_all(real, specials.no_tokens(real), score)


def test_prompts_that_are_too_long_are_refused(real: Target) -> None:
    with real.abused("long prompts", patience=150) as score:
        send_all(real, specials.too_long(real), score)


def test_a_special_token_that_a_client_spells_is_plain_text(real: Target) -> None:
    with real.abused("special tokens") as score:
        for spelled in specials.SPELLED:
            specials.check_plain(real, spelled, score)


def test_grammars_that_take_long_are_refused_in_time(real: Target) -> None:
    with real.abused("grammars", patience=240) as score:
        send_all(real, grammars.cases(real), score, at_once=1)


def test_many_grammars_disturb_nobody(real: Target) -> None:
    with real.abused("many grammars") as score:
        send_all(real, grammars.unique(real, 100), score)


def test_bodies_and_heads_are_read_as_without_a_model(real: Target) -> None:
    path = limits.MESSAGES
    with real.abused("bodies") as score:
        send_all(real, bodies.cases(path, real.dialects[path]), score)
        for table in (http_cases.bodies, http_cases.heads):
            for name, data, expects in table(path):
                try_bytes(real, score, name, data, expects, path)


@pytest.mark.timeout(900)  # of twelve rounds, where one or two are the rule
def test_nothing_is_left_behind(real: Target) -> None:
    """What is made on first use is there by now."""
    real.take_stock()

    def abuse() -> None:
        with real.abused("once more", patience=150) as score:
            send_all(real, specials.too_long(real), score)
            send_all(real, grammars.unique(real, 40), score)

    real.stops_growing(abuse)
    real.closes_all()
