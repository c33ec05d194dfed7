"""What needs no engine; the rest is in tests/engine."""

import gc
import weakref

from fathom.engine.vllm_engine import _little_garbage


def test_what_a_start_makes_is_never_looked_through_for_garbage():
    gc.unfreeze()
    with _little_garbage():
        made = [[] for _ in range(1000)]
    try:
        looked_through = {id(each) for each in gc.get_objects()}
        assert gc.isenabled()
        assert not any(id(each) in looked_through for each in made)
    finally:
        gc.unfreeze()


def test_what_a_start_leaves_behind_is_given_up():
    class Ring:
        def __init__(self) -> None:
            self.me = self

    before = gc.get_threshold()
    with _little_garbage():
        left = weakref.ref(Ring())
        kept = [[] for _ in range(200_000)]
        assert left() is None
    gc.unfreeze()
    assert kept
    assert gc.get_threshold() == before
