"""What needs no engine; the rest is in tests/engine."""

import gc

from fathom.engine.vllm_engine import _no_garbage


def test_what_a_start_makes_is_never_looked_through_for_garbage():
    gc.unfreeze()
    with _no_garbage():
        made = [[] for _ in range(1000)]
    try:
        looked_through = {id(each) for each in gc.get_objects()}
        assert gc.isenabled()
        assert not any(id(each) in looked_through for each in made)
    finally:
        gc.unfreeze()
