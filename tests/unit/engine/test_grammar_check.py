import asyncio
import json
import subprocess
import sys
import time

import psutil
import pytest
from fathom.core.errors import BadRequest, EngineUnavailable, Unsupported
from fathom.engine.grammar_check import GrammarChecker, tokenizer_info

SECONDS = 1.0


def tag(**answer):
    return json.dumps({"type": "structural_tag", "format": answer})


def slow(name="f"):
    """More than a minute to compile, in a few kilobytes."""
    properties = {f"{name}{at}": {"type": "string"} for at in range(300)}
    schema = {"type": "object", "properties": properties, "minProperties": 150}
    return tag(type="json_schema", json_schema=schema)


PARENT = """
import asyncio, pathlib, psutil
from fathom.engine.grammar_check import GrammarChecker

async def main():
    checker = GrammarChecker(pathlib.Path("info.json").read_text(), seconds=60)
    await checker.warm_up()
    asking = asyncio.create_task(checker.check(pathlib.Path("tag.json").read_text(), "p"))
    await asyncio.sleep(0.1)
    print(psutil.Process().children()[0].pid, flush=True)
    await asking

asyncio.run(main())
"""
GOOD = tag(type="json_schema", json_schema={"type": "object"})


@pytest.fixture(scope="module")
def info(tokenizer):
    return tokenizer_info(tokenizer, len(tokenizer))


@pytest.fixture
async def checker(info):
    checker = GrammarChecker(info, seconds=SECONDS)
    yield checker
    await checker.stop()
    assert children() == []


def children():
    return [each for each in psutil.Process().children() if "grammar_child" in " ".join(each.cmdline())]


async def test_a_good_grammar_passes(checker):
    await checker.check(GOOD, "response_format")


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ({"type": "regex", "pattern": "(a"}, BadRequest, "parenthesis is not closed. Correct it"),
        ({"type": "grammar", "grammar": "root ::= root"}, BadRequest, "nothing matches it"),
        ({"type": "grammar", "grammar": 'start ::= "a"'}, BadRequest, "root"),
        ({"type": "regex", "pattern": "(" * 30_000 + "a" + ")" * 30_000}, BadRequest, "Nest layer"),
        ({"type": "json_schema", "json_schema": {"type": "number", "multipleOf": 0.1}}, Unsupported, "multipleOf"),
        ({"type": "json_schema", "json_schema": {"type": "string", "pattern": "^(?=a)b"}}, Unsupported, "Lookahead"),
    ],
)
async def test_a_bad_grammar_is_refused_with_the_reason_in_one_line(checker, answer, error, says):
    with pytest.raises(error, match=says) as refused:
        await checker.check(tag(**answer), "response_format")
    assert refused.value.param == "response_format"
    assert "\n" not in refused.value.message


async def test_a_grammar_that_compiles_at_once_and_then_takes_ever_longer_is_refused(info):
    patient = GrammarChecker(info, seconds=10)
    with pytest.raises(BadRequest, match="too ambiguous"):
        await patient.check(tag(type="grammar", grammar='root ::= root root | "a" | ""'), "p")
    await patient.stop()


async def test_a_grammar_that_takes_too_long_is_refused_and_the_next_one_is_not(checker):
    with pytest.raises(BadRequest, match=r"takes more than 1 s"):
        await checker.check(slow(), "p")
    await checker.check(GOOD, "p")


async def test_verdicts_are_kept(checker):
    await checker.check(GOOD, "p")
    with pytest.raises(BadRequest):
        await checker.check(slow(), "p")
    began = time.monotonic()
    await checker.check(GOOD, "p")
    with pytest.raises(BadRequest, match="too complex") as refused:
        await checker.check(slow(), "another")
    assert refused.value.param == "another"
    assert time.monotonic() - began < 0.05


async def test_many_slow_ones_at_once_are_all_answered_in_time(checker):
    began = time.monotonic()
    answers = await asyncio.gather(*(checker.check(slow(f"f{at}_"), "p") for at in range(10)), return_exceptions=True)
    assert time.monotonic() - began < SECONDS + 1.5
    assert {type(answer) for answer in answers} == {BadRequest, EngineUnavailable}


async def test_more_than_the_queue_holds_are_turned_away_at_once(checker):
    await checker.warm_up()
    asks = [asyncio.create_task(checker.check(slow(f"f{at}_"), "p")) for at in range(32)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="Too many") as refused:
        await checker.check(GOOD, "p")
    assert time.monotonic() - began < 0.2
    assert refused.value.retry_after
    for ask in asks:
        ask.cancel()
    await asyncio.gather(*asks, return_exceptions=True)


async def test_a_client_that_goes_away_leaves_no_process_and_no_confusion(checker):
    ask = asyncio.create_task(checker.check(slow(), "p"))
    await asyncio.sleep(0.6)
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    with pytest.raises(BadRequest, match="not closed"):
        await checker.check(tag(type="regex", pattern="(a"), "p")


async def test_a_child_that_ended_while_it_was_idle_is_replaced_without_a_word(checker):
    await checker.warm_up()
    [child] = children()
    child.kill()
    child.wait()
    await checker.check(GOOD, "p")


async def test_an_idle_child_takes_no_time(checker):
    await checker.warm_up()
    [child] = children()
    before = sum(child.cpu_times())
    await asyncio.sleep(0.5)
    assert sum(child.cpu_times()) - before < 0.1


def test_the_child_ends_with_its_parent_even_in_the_middle_of_something(info, tmp_path):
    (tmp_path / "info.json").write_text(info)
    (tmp_path / "tag.json").write_text(slow())
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(timeout=5)


async def test_a_child_that_does_not_start_is_an_error_of_the_server_each_time_anew(info):
    broken = GrammarChecker("no tokenizer", seconds=SECONDS)
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="does not start"):
            await broken.check(GOOD, "p")
    await broken.stop()
    assert children() == []
