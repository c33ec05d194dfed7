import pytest
from fathom.cli.chat_client import Ended, Piece
from fathom.cli.chat_screen import AnswerView, Screen, speed_line
from fathom.core.events import ReasoningDelta, TextDelta


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def shown(capsys: pytest.CaptureFixture[str], *pieces: Piece, show_trace: bool = True) -> str:
    view = AnswerView(Screen(show_trace))
    for piece in pieces:
        view.show(piece)
    return capsys.readouterr().out


def test_one_blank_line_parts_trace_and_answer_however_they_begin_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    for trace, answer in (("Hm.", "Yes"), ("Hm.\n", "\nYes"), ("Hm.\n\n", "Yes"), ("\nHm.", "\n\nYes")):
        assert shown(capsys, ReasoningDelta(trace), TextDelta(answer)).strip("\n") == "Hm.\n\nYes"


def test_white_space_ahead_of_an_answer_is_dropped_over_several_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, TextDelta("\n"), TextDelta(" "), TextDelta("\n Yes"), TextDelta(" no")) == "Yes no"


def test_white_space_inside_an_answer_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "def f():\n\treturn" + " " * 300 + "1"
    assert shown(capsys, TextDelta("x\n"), TextDelta(text)) == "x\n" + text


def test_every_piece_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = AnswerView(Screen())
    view.show(TextDelta("One"))
    assert capsys.readouterr().out == "One"


def test_a_hidden_trace_leaves_no_blank_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, ReasoningDelta("Hm"), TextDelta("Yes"), show_trace=False) == "Yes"


def test_the_end_gives_the_answer_a_line_end_unless_it_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, TextDelta("Yes"), Ended()) == "Yes\n"
    assert shown(capsys, TextDelta("Yes\n"), Ended()) == "Yes\n"


def test_the_text_for_the_history_is_the_answer_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    view = AnswerView(Screen())
    for piece in (ReasoningDelta("Hm"), TextDelta("\n\nYes"), TextDelta("\x1b[1m")):
        view.show(piece)
    assert view.text == "\n\nYes\x1b[1m"


def test_a_model_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = shown(capsys, ReasoningDelta("\x1b]0;title\x07a"), TextDelta("b\x9b2J\rc\t\n"))
    assert out == "\x1b[2m]0;titlea\x1b[0m\n\nb2Jc\t\n"


def test_away_from_a_terminal_each_thing_that_is_waited_for_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().waiting() as say:
        for second in range(3):
            say("loading weights", f"{second} s")
        say("warming up", "3 s")
    assert capsys.readouterr().err == "loading weights ...\nwarming up ...\n"


def test_text_of_a_server_is_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().error("no [red]such[/] thing")
    assert capsys.readouterr().err == "no [red]such[/] thing\n"


@pytest.mark.parametrize(
    ("ended", "first", "line"),
    [
        (Ended("stop", 52, 20), 10.12, "52 tokens (20 thinking), 25.5 tokens/s, first token 0.12 s"),
        (Ended("stop", 52, 0), 10.12, "52 tokens, 25.5 tokens/s, first token 0.12 s"),
        (
            Ended("length", 52, 20),
            10.12,
            "52 tokens (20 thinking), 25.5 tokens/s, first token 0.12 s, cut at the limit",
        ),
        (Ended("stop", 1, 0), 10.12, "1 token, first token 0.12 s"),
        (Ended("stop", 1, 0), None, "1 token"),
        (Ended("stop", None, 0), 10.12, "first token 0.12 s"),
        (Ended(), None, "no answer"),
    ],
)
def test_the_speed_line_tells_what_is_known(ended: Ended, first: float | None, line: str) -> None:
    assert speed_line(ended, began=10.0, first=first, last=12.12) == line
