from tests.hostile import limits
from tests.hostile.runner import send_all
from tests.hostile.target import Target


def test_more_than_anybody_may_ask_for_is_refused(target: Target) -> None:
    with target.abused("limits") as score:
        send_all(target, limits.refused(target), score)


def test_what_only_looks_hostile_is_answered(target: Target) -> None:
    with target.abused("harmless") as score:
        send_all(target, limits.harmless(target), score)
