import pytest

from tests.hostile import bodies
from tests.hostile.conftest import dialects
from tests.hostile.runner import send_all
from tests.hostile.target import Target


@pytest.mark.parametrize("path", dialects(""))
def test_a_body_that_cannot_be_read_is_refused_in_the_words_of_its_route(target: Target, path: str) -> None:
    with target.abused(path) as score:
        send_all(target, bodies.cases(path, target.dialects[path]), score)


@pytest.mark.parametrize("path", ["/v1/chat/completions"])
def test_a_body_that_is_made_to_take_long_does_not(target: Target, path: str) -> None:
    with target.abused(path) as score:
        send_all(target, bodies.heavy(path, target.dialects[path]), score)


def test_nothing_is_left_behind(target: Target) -> None:
    target.settles()
