from typing import Any

import pytest

from tests.bench.second_opinion import Opinion, read


def report(errored: int = 0) -> dict[str, Any]:
    def figures(name: str, **values: float) -> dict[str, Any]:
        return {name: {"successful": {"mean": values["mean"], "percentiles": values}}}

    metrics = {
        "request_totals": {"successful": 8, "errored": errored},
        **figures("output_tokens_per_second", mean=280),
        **figures("time_to_first_token_ms", mean=82, p50=98, p99=116),
        **figures("inter_token_latency_ms", mean=13, p50=9, p99=17),
    }
    return {"benchmarks": [{"metrics": metrics}]}


def test_the_figures_are_found_in_a_report_of_guidellm() -> None:
    assert read(16, report()) == Opinion(16, speed=280, ttft_p50=98, ttft_p99=116, itl_p50=9, itl_p99=17)


def test_a_failed_request_fails_the_whole() -> None:
    with pytest.raises(AssertionError, match="2 requests of guidellm failed"):
        read(16, report(errored=2))
