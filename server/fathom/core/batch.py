"""How many choices an engine batches, and who may take its last places."""

AHEAD = 2
"""Choices beyond the batch that was asked for, so that a place that becomes free is taken in the engine's next step,
without waiting for us."""

_SMALL = 8  # a smaller batch stays as it was asked for
_LAST = 8  # places beyond that, or half of what was asked for if that is less


def engine_places(seqs: int) -> int:
    """What an engine is told to batch, of which `seqs` were asked for."""
    return seqs if seqs < _SMALL else seqs + AHEAD + min(seqs // 2, _LAST)


def common_places(places: int) -> int:
    """Of what an engine batches, what everybody may fill: what was asked for, and AHEAD. The rest is for those who were
    served little."""
    return places + AHEAD if places < _SMALL else places - min((places - AHEAD) // 3, _LAST)
