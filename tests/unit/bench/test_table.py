from tests.bench.results import summaries
from tests.bench.table import table
from tests.unit.bench.visits import visit


def lines(base: str) -> list[list[str]]:
    return [line.split() for line in table(summaries([visit("a", speed=150), visit("vllm")]), base).splitlines()]


def test_each_figure_stands_beside_its_ratio_to_the_base() -> None:
    shown = [line for line in lines("vllm") if line[:2] == ["output", "tokens/s"]]
    assert shown == [
        ["output", "tokens/s", *of] for of in (["150.0", "(1.50)", "100.0"], ["2,400.0", "(1.50)", "1,600.0"])
    ]


def test_each_number_of_streams_has_its_part() -> None:
    assert [line for line in lines("vllm") if line and line[-1].startswith("stream")] == [
        ["1", "stream"],
        ["16", "streams"],
    ]


def test_without_the_base_there_are_no_ratios() -> None:
    assert not any("(" in word for line in lines("ollama") for word in line)
