from fathom.engine.scanner import Found, Scanner
from hypothesis import given
from hypothesis import strategies as st

PIECES = st.lists(st.sampled_from(["a", "b", "ab", "abc", "<", "</", "<x>", "x", " "])).map("".join)
NEEDLES = st.lists(st.sampled_from(["ab", "abc", "bc", "<x>", "</x>", "aa"]), min_size=1, max_size=3, unique=True)


def scan(pieces: list[str], needles: list[str]) -> list[str | Found]:
    scanner = Scanner(needles)
    parts = [part for piece in pieces for part in scanner.feed(piece)]
    parts += scanner.flush()
    merged: list[str | Found] = []
    for part in [*parts, scanner.held]:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part:
            merged.append(part)
    return merged


@given(PIECES, NEEDLES, st.data())
def test_how_the_text_is_cut_changes_nothing(text, needles, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert scan(pieces, needles) == scan([text], needles)


@given(PIECES, NEEDLES)
def test_nothing_is_lost_and_no_needle_is_missed(text, needles):
    parts = scan([text], needles)
    assert "".join(part.needle if isinstance(part, Found) else part for part in parts) == text
    assert not any(needle in part for part in parts if isinstance(part, str) for needle in needles)


def test_text_that_cannot_become_a_needle_is_not_held_back():
    scanner = Scanner(["</think>"])
    assert list(scanner.feed("hello")) == ["hello"]
    assert list(scanner.feed(" </thi")) == [" "]
    assert scanner.held == "</thi"
    assert list(scanner.feed("s>")) == ["</this>"]


def test_of_two_needles_at_one_place_the_shorter_wins():
    assert scan(["abc"], ["abc", "ab"]) == [Found("ab"), "c"]
