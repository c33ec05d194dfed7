from dataclasses import dataclass

import pytest
from fathom.core.batch import AHEAD, engine_places
from fathom.serving.capacity import Capacity

from tests.rooms import Room


@dataclass
class Load:
    choices: int = 1
    coming: bool = True
    unread: int = 0
    expected: float = 0


def test_the_batch_is_filled_and_a_few_more_stand_ready():
    capacity = Capacity(Room(seqs=4))
    taken = 0
    while capacity.fits(Load()):
        capacity.take(Load())
        taken += 1
    assert taken == 4 + AHEAD
    capacity.give_back(Load())
    assert capacity.fits(Load())


def test_a_request_of_many_choices_needs_one_place():
    capacity = Capacity(Room(seqs=4))
    capacity.take(Load(choices=4 + AHEAD - 1))
    assert capacity.fits(Load(choices=5))
    capacity.take(Load(choices=5))
    capacity.give_back(Load(choices=1))
    assert not capacity.fits(Load())


@pytest.mark.parametrize("seqs", [1, 7, 8, 16, 64, 1000])
def test_of_a_larger_batch_some_places_are_for_newcomers(seqs: int):
    capacity = Capacity(Room(seqs=engine_places(seqs)))
    assert capacity.places == seqs + AHEAD
    capacity.take(Load(choices=capacity.places))
    assert not capacity.has_place()
    newcomers = 0
    while capacity.has_place(last=True):
        capacity.take(Load())
        newcomers += 1
    assert newcomers == (min(seqs // 2, 8) if seqs >= 8 else 0)


def test_of_answers_that_are_over_the_engine_holds_nothing_though_they_are_still_read():
    room = Room(seqs=4)
    capacity, many, one = Capacity(room), Load(choices=5), Load()
    capacity.take(many)
    capacity.take(one)
    assert not capacity.fits(Load())
    room.has = 0  # they are on their way
    assert not capacity.fits(Load())
    capacity.come(many)
    capacity.come(one)
    assert capacity.fits(Load())
    room.has = 5
    assert capacity.fits(Load())
    room.has = 6
    assert not capacity.fits(Load())
    capacity.give_back(one)
    room.has = 4
    assert capacity.fits(Load())
    capacity.give_back(many)
    assert capacity.choices == 0


def test_what_the_engine_holds_and_what_is_still_to_come_must_fit_its_cache():
    room = Room(kv_tokens=1000)
    capacity = Capacity(room)
    first = Load(unread=400, expected=200)
    capacity.take(first)
    assert capacity.fits(Load(unread=400, expected=100))  # 400 + 200 / 2 are on their way
    assert not capacity.fits(Load(unread=400, expected=101))
    room.usage = 0.4
    capacity.read(first)  # now the engine says that it holds it
    assert capacity.fits(Load(unread=400, expected=100))
    assert not capacity.fits(Load(unread=400, expected=101))


def test_prompts_that_the_engine_holds_once_count_once():
    room = Room(kv_tokens=1000)
    capacity = Capacity(room)
    for _ in range(5):
        load = Load(unread=300)
        capacity.take(load)
        room.usage = 0.3
        capacity.read(load)
    assert capacity.fits(Load(unread=300))


def test_into_an_empty_engine_goes_whatever_it_is():
    capacity = Capacity(Room(seqs=2, kv_tokens=1000))
    assert capacity.fits(Load(choices=9, unread=900, expected=900))


def test_an_engine_without_a_cache_has_places_only():
    capacity = Capacity(Room(seqs=2, kv_tokens=0))
    capacity.take(Load(unread=10_000))
    assert capacity.fits(Load(unread=10_000))
