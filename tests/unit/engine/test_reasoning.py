import pytest
from fathom.core.events import ReasoningDelta, TextDelta
from fathom.engine.reasoning import Delimiter, ReasoningMachine
from hypothesis import example, given
from hypothesis import strategies as st

START, END = "<think>", "</think>"
START_ID, END_ID, OTHER = 1, 2, 3

TEXT_PIECES = ["<think>", "</think>", "<thi", "nk>", "</", "<", "think>", "word", " ", "\n", "é", "</th", "\n\n"]
TOKEN_PIECES = ["<think>", "</think>", "word", " more", "\n", " ", "</thi", "nk>", "é"]


def text_machine(thinking: bool) -> ReasoningMachine:
    return ReasoningMachine(Delimiter(START), Delimiter(END), thinking=thinking)


def token_machine(thinking: bool) -> ReasoningMachine:
    return ReasoningMachine(Delimiter(START, START_ID), Delimiter(END, END_ID), thinking=thinking)


def run(machine: ReasoningMachine, pieces, *, cut: bool = False):
    """Trace, answer and the single deltas, of text pieces or of (token, text) pairs."""
    pairs = [piece if isinstance(piece, tuple) else (OTHER, piece) for piece in pieces]
    deltas = [delta for token, text in pairs for delta in machine.feed(token, text)] + machine.finish(cut=cut)
    trace = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    answer = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    return trace, answer, deltas


@given(st.lists(st.sampled_from(TEXT_PIECES)).map("".join), st.booleans(), st.booleans(), st.data())
@example("<think>a</think>", True, False, None)
def test_any_split_gives_the_trace_and_answer_of_the_whole(text, thinking, cut, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text))))) if data else list(range(len(text)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = run(text_machine(thinking), [text], cut=cut)
    split = run(text_machine(thinking), pieces, cut=cut)
    assert split[:2] == whole[:2]


@given(st.lists(st.sampled_from(TEXT_PIECES)), st.booleans(), st.booleans())
def test_no_delta_is_empty_or_blank_in_the_trace_or_holds_a_delimiter(pieces, thinking, cut):
    _, _, deltas = run(text_machine(thinking), pieces, cut=cut)
    for delta in deltas:
        assert delta.text
        assert START not in delta.text
        assert END not in delta.text
        assert isinstance(delta, TextDelta) or delta.text.strip()


@given(st.lists(st.sampled_from(TOKEN_PIECES)), st.booleans())
def test_with_delimiter_tokens_spelled_out_delimiters_are_text(pieces, thinking):
    ids = {START: START_ID, END: END_ID}
    tokens = [(ids.get(piece, OTHER), piece) for piece in pieces]
    trace, answer, _ = run(token_machine(thinking), tokens)
    expected = "".join(text for token, text in tokens if token == OTHER)
    squeezed = (trace + answer).replace("\n", "").replace(" ", "")
    assert sorted(squeezed) == sorted(expected.replace("\n", "").replace(" ", ""))


@pytest.mark.parametrize(
    ("thinking", "text", "trace", "answer"),
    [
        (True, "hm\n</think>\n\nYes.", "hm", "Yes."),
        (True, "\n hm \n", "hm", ""),
        (False, "<think>\nhm\n</think>\n\nYes.", "hm", "Yes."),
        (False, "\n<think>hm</think>Yes", "hm", "Yes"),
        (False, "Yes.", "", "Yes."),
        (False, "    indented\n", "", "    indented\n"),
        (True, "</think>Yes", "", "Yes"),
        (True, "a <think> b</think>c </think>d", "a  b", "c d"),
        (False, "<think>a</think>b<think>c</think>d", "a\n\nc", "bd"),
        (True, "a < b </ c</think>d < e", "a < b </ c", "d < e"),
    ],
)
def test_the_text_machine(thinking, text, trace, answer):
    assert run(text_machine(thinking), [text])[:2] == (trace, answer)


def test_half_a_delimiter_at_a_cut_is_not_leaked():
    assert run(text_machine(True), ["hm</thi"], cut=True)[:2] == ("hm", "")
    assert run(text_machine(True), ["hm</think>yes <thi"], cut=True)[:2] == ("hm", "yes ")


def test_an_answer_that_ends_by_itself_keeps_its_last_angle_bracket():
    assert run(text_machine(True), ["hm</think>a <"], cut=False)[1] == "a <"


def test_text_that_hangs_on_a_delimiter_token_is_kept():
    trace, answer, _ = run(token_machine(True), [(OTHER, "caf"), (END_ID, "é</think>"), (OTHER, "x")])
    assert (trace, answer) == ("café", "x")


def test_reasoning_tokens_count_the_trace_and_its_delimiters():
    machine = token_machine(False)
    run(machine, [(START_ID, START), (OTHER, "a"), (OTHER, "b"), (END_ID, END), (OTHER, "c"), (OTHER, "d")])
    assert machine.reasoning_tokens == 4


def test_a_trace_streams_without_waiting_for_its_end():
    machine = text_machine(True)
    assert machine.feed(OTHER, "Let") == [ReasoningDelta("Let")]
    assert machine.feed(OTHER, " me ") == [ReasoningDelta(" me")]
    assert machine.feed(OTHER, "see") == [ReasoningDelta(" see")]


def test_behind_the_one_trace_of_a_constrained_turn_delimiters_are_text():
    pieces = ["hm</think>", '{"a": "', "<think>", "x</th", "ink>", '<"}', "<"]
    for machine in (
        ReasoningMachine(Delimiter(START), Delimiter(END), thinking=True, once=True),
        ReasoningMachine(Delimiter(START, START_ID), Delimiter(END, END_ID), thinking=True, once=True),
    ):
        tokens = [(START_ID if piece == START else OTHER, piece) for piece in pieces]
        first = [(OTHER, "hm"), (END_ID, END)]
        trace, answer, _ = run(machine, [*first, *tokens[1:]], cut=True)
        assert (trace, answer) == ("hm", '{"a": "<think>x</think><"}<')


@given(st.lists(st.sampled_from(TEXT_PIECES)).map("".join), st.data())
def test_any_split_of_a_constrained_turn_gives_the_same(text, data):
    def machine():
        return ReasoningMachine(Delimiter(START), Delimiter(END), thinking=True, once=True)

    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert run(machine(), pieces)[:2] == run(machine(), [text])[:2]
    before, ended, answer = text.partition(END)
    assert not ended or START in before or run(machine(), pieces)[1] == answer.lstrip()


def test_white_space_behind_a_trace_that_the_prompt_closed_means_nothing():
    machine = ReasoningMachine(Delimiter(START), Delimiter(END), thinking=False, thought=True)
    assert run(machine, ["\n4."])[1] == "4."


def test_a_continued_trace_keeps_its_first_space():
    machine = ReasoningMachine(Delimiter(START), Delimiter(END), thinking=True, begun=True)
    assert run(machine, [" Paris"])[0] == " Paris"
