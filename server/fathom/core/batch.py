"""How many choices an engine batches, and who may take its last places."""

AHEAD = 2
"""Choices beyond the batch that was asked for, so that a place that becomes free is taken in the engine's next step,
without waiting for us."""

_SMALL = 8  # a smaller batch stays as it was asked for
_NEWCOMERS = 4  # one more place for every so many


def engine_places(seqs: int) -> int:
    """What an engine is told to batch, of which `seqs` were asked for."""
    return seqs if seqs < _SMALL else seqs + AHEAD + seqs // _NEWCOMERS


def common_places(places: int) -> int:
    """Of what an engine batches, what everybody may fill: what was asked for, and AHEAD. The rest is for those whose
    turn it is when they come."""
    return places + AHEAD if places < _SMALL else places - (places - AHEAD) // (_NEWCOMERS + 1)
