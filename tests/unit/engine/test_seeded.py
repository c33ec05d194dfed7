import torch
from fathom.engine.seeded import RewindableGenerator


def draw(generator: torch.Generator) -> list[float]:
    return torch.empty(3).exponential_(generator=generator).tolist()


def test_it_draws_what_the_generator_of_its_seed_draws():
    plain = torch.Generator().manual_seed(7)
    rewindable = RewindableGenerator.of(plain)
    assert [draw(rewindable), draw(rewindable)] == [draw(plain), draw(plain)]


def test_it_goes_on_where_the_other_is():
    plain = torch.Generator().manual_seed(7)
    draw(plain)
    rewindable = RewindableGenerator.of(plain)
    assert draw(rewindable) == draw(plain)


def test_what_was_thrown_away_is_drawn_again():
    rewindable = RewindableGenerator.of(torch.Generator().manual_seed(7))
    first = draw(rewindable)
    rewindable.set_offset(rewindable.get_offset() - 4)
    assert draw(rewindable) == first


def test_after_a_skip_it_goes_on_as_the_sampler_would_have():
    plain = torch.Generator().manual_seed(7)
    for _ in range(3):
        torch.randint(0, 2**31, (1,), generator=plain, dtype=torch.long)
    rewindable = RewindableGenerator.of(torch.Generator().manual_seed(7))
    rewindable.skip(3)
    rewindable.mark()
    first = draw(rewindable)
    rewindable.set_offset(0)
    assert draw(rewindable) == first == draw(plain)
