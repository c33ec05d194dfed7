import json

from tests.bench.process import Memory
from tests.bench.results import medians, ratio, ratios, summaries, to_json
from tests.unit.bench.visits import visit


def test_a_figure_is_the_median_of_its_rounds() -> None:
    found = summaries([visit("a", speed=10, ready=5), visit("a", speed=90, ready=7), visit("a", speed=20, ready=30)])
    assert [each.rounds for each in found] == [3]
    assert (found[0].ready, found[0].at(1).speed, found[0].at(16).speed) == (7, 20, 320)


def test_of_two_rounds_the_median_lies_between_them() -> None:
    assert medians([Memory(1, 2, 3), Memory(3, 2, 5)]) == Memory(2, 2, 4)


def test_servers_that_take_turns_are_kept_apart_in_their_order() -> None:
    found = summaries([visit("b"), visit("a"), visit("b"), visit("a")])
    assert [(each.server, each.rounds) for each in found] == [("b", 2), ("a", 2)]


def test_ratios_are_of_every_figure_and_not_of_the_number_of_streams() -> None:
    fast, base = summaries([visit("a", speed=150), visit("base")])
    found = ratios(fast, base)
    assert found
    assert [load["speed"] for load in found["loads"]] == [1.5, 1.5]
    assert found["idle"] == {"rss": 1, "pss": 1, "everything": 1}
    assert "streams" not in found["loads"][0]


def test_there_is_no_ratio_to_nothing() -> None:
    assert ratio(3, 0) is None
    assert ratio(3, None) is None
    (alone,) = summaries([visit("a")])
    assert ratios(alone, None) is None


def test_what_is_written_has_medians_ratios_and_every_round() -> None:
    visits = [visit("a", speed=150), visit("vllm"), visit("a", speed=250), visit("vllm")]
    written = json.loads(json.dumps(to_json({"model": "m"}, visits, "vllm", {"b": "no memory"}, [])))
    assert written["model"] == "m"
    assert [each["server"] for each in written["medians"]] == ["a", "vllm"]
    assert list(written["ratios"]["of"]) == ["a"]
    assert written["ratios"]["of"]["a"]["loads"][0]["speed"] == 2
    assert len(written["rounds"]) == 4
    assert written["skipped"] == {"b": "no memory"}
