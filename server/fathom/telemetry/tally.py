"""A histogram for what is seen with every token. prometheus_client's takes two locks and searches its buckets in
Python for each value."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import Histogram
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString


class Tally(Histogram):
    """Without labels, and of one thread: the event loop's."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._bounds: list[float] = list(self._upper_bounds)  # the last one is infinite
        self._counts, self._total = [0] * len(self._bounds), 0.0

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        assert exemplar is None, "a tally keeps none"
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._total += amount

    def _child_samples(self) -> Iterable[Sample]:
        counts = list(accumulate(self._counts))
        for bound, count in zip(self._bounds, counts, strict=True):
            yield Sample("_bucket", {"le": floatToGoString(bound)}, float(count))  # type: ignore[no-untyped-call]
        yield Sample("_count", {}, float(counts[-1]))
        yield Sample("_sum", {}, self._total)
