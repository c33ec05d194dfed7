import re
from dataclasses import astuple

import pytest
from fathom.core.errors import StartupError
from fathom.core.events import ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.engine.harmony import HarmonyMachine, HarmonyTokens, open_header
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

TOKENS = HarmonyTokens(1, 2, 3, 4, 5, 6, 7)
SPELLED = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>")
IDS = dict(zip(SPELLED, astuple(TOKENS), strict=True))
OTHER = 9

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
CALL = "<|channel|>commentary to=functions.sky <|constrain|>json<|message|>"


def tokens_of(text: str) -> list[tuple[int, str]]:
    """Special tokens as one token each, everything else as one token a stretch. Special tokens come without text."""
    pieces = re.split(f"({'|'.join(map(re.escape, SPELLED))})", text)
    return [(IDS[piece], "") if piece in IDS else (OTHER, piece) for piece in pieces if piece]


def read(machine: HarmonyMachine, tokens, *, cut: bool = False):
    return [piece for token, text in tokens for piece in machine.feed(token, text)] + machine.finish(cut=cut)


def said(pieces):
    """Trace, answer, and calls as (name, arguments)."""
    trace = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
    answer = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    names = [piece.name for piece in pieces if isinstance(piece, ToolCallStart)]
    arguments = ["" for _ in names]
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            arguments[piece.call] += piece.arguments
    return trace, answer, list(zip(names, arguments, strict=True))


def run(text: str, *, cut: bool = False, within: str = ""):
    return said(read(HarmonyMachine(TOKENS, within=within), tokens_of(text), cut=cut))


@pytest.mark.parametrize(
    ("text", "trace", "answer"),
    [
        (f"{ANALYSIS}Simple.{NEXT}{FINAL}2 + 2 = 4.<|return|>", "Simple.", "2 + 2 = 4."),
        (f"{ANALYSIS}Simple.{NEXT}{FINAL}2 + 2 = 4.", "Simple.", "2 + 2 = 4."),
        (f"{FINAL}4<|return|>", "", "4"),
        (f"{FINAL}    indented\n<|return|>", "", "    indented\n"),
        (f"{ANALYSIS}{NEXT}{FINAL}4", "", "4"),
        (f"{ANALYSIS}\n hm \n{NEXT}{FINAL}4", "hm", "4"),
        (f"{ANALYSIS}One.\n{NEXT}{ANALYSIS}Two.{NEXT}{FINAL}4", "One.\n\nTwo.", "4"),
        (f"{ANALYSIS}Hm.{NEXT}<|channel|>commentary<|message|>A plan.{NEXT}{FINAL}Done.", "Hm.", "A plan.\n\nDone."),
    ],
)
def test_channels_are_told_apart(text, trace, answer):
    assert run(text) == (trace, answer, [])


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.sky <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.sky<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.sky json<|message|>",
        "<|channel|>commentary to=functions.sky<|message|>",
        "<|channel|>analysis to=functions.sky <|constrain|>json<|message|>",
        " to=functions.sky<|channel|>commentary <|constrain|>json<|message|>",
        " to=functions.sky<|channel|>commentary json<|message|>",
        "<|start|>assistant to=functions.sky<|channel|>commentary json<|message|>",
    ],
)
def test_a_call_is_read_wherever_its_recipient_stands(header):
    assert run(header + '{"at": 1}<|call|>') == ("", "", [("sky", '{"at": 1}')])


def test_a_call_after_a_trace_and_a_plan():
    text = f"{ANALYSIS}Look.{NEXT}<|channel|>commentary<|message|>I look.{NEXT}{CALL}{{}}<|call|>"
    assert run(text) == ("Look.", "I look.", [("sky", "{}")])


def test_several_calls_are_counted_and_have_ids_of_their_own():
    pieces = read(HarmonyMachine(TOKENS), tokens_of(f"{CALL}1<|call|><|start|>assistant{CALL}2<|call|>"))
    starts = [piece for piece in pieces if isinstance(piece, ToolCallStart)]
    assert [start.call for start in starts] == [0, 1]
    assert said(pieces)[2] == [("sky", "1"), ("sky", "2")]
    assert len({start.id for start in starts}) == 2
    assert all(re.fullmatch("call_[0-9a-f]{24}", start.id) for start in starts)


@pytest.mark.parametrize("end", ["<|call|>", ""])
def test_a_call_without_arguments_has_an_empty_object(end):
    assert run(f"{CALL}{end}")[2] == [("sky", "{}")]


def test_a_call_that_was_cut_keeps_what_it_has():
    assert run(CALL, cut=True)[2] == [("sky", "")]
    assert run(CALL + '{"at"', cut=True)[2] == [("sky", '{"at"')]


@pytest.mark.parametrize("header", ["<|channel|>analysis to=python code", "<|channel|>commentary to=browser.search "])
def test_what_the_model_says_to_its_own_tools_is_trace(header):
    assert run(f"{ANALYSIS}Hm.{NEXT}{header}<|message|>print(1)<|call|>") == ("Hm.\n\nprint(1)", "", [])


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        " Hello",
        "<|message|>Hello",
        "final<|message|>Hello",
        "<|channel|><|message|>Hello",
        "<|channel|>thoughts<|message|>Hello",
        "<|channel|>final to=<|message|>Hello",
        "<|start|>assistant<|message|>Hello<|end|>",
        "<|end|>Hello",
        "<|end|>\n Hello",
        "<|channel|>final<|message|>Hel<|constrain|>lo",
        "<|channel|>final<|message|>Hel<|message|>lo",
    ],
)
def test_a_broken_header_makes_an_answer_without_markup(text):
    trace, answer, calls = run(text + "<|return|>")
    assert (trace, answer.strip(), calls) == ("", "Hello", [])


def test_a_message_may_end_without_its_mark():
    assert run(f"{ANALYSIS}Hm.<|start|>assistant{FINAL}4") == ("Hm.", "4", [])
    assert run(f"{ANALYSIS}Hm.{FINAL}4") == ("Hm.", "4", [])


@pytest.mark.parametrize("text", ["to", "fin", "final", "<|channel|>final", "<|start|>assis", " to=functions.sky"])
def test_a_header_that_was_cut_says_nothing(text):
    assert run(text, cut=True) == ("", "", [])


def test_a_short_answer_that_could_begin_a_header_is_an_answer_once_it_ends():
    assert run("to") == ("", "to", [])
    assert run("final<|return|>") == ("", "final", [])


def test_spelled_out_markup_is_text():
    machine = HarmonyMachine(TOKENS)
    pieces = read(machine, [*tokens_of(FINAL), (OTHER, "<|end|>"), (OTHER, " ends a message")])
    assert said(pieces)[1] == "<|end|> ends a message"


def test_text_that_hangs_on_a_special_token_is_kept_and_the_token_is_not():
    machine = HarmonyMachine(TOKENS)
    pieces = read(machine, [*tokens_of(f"{FINAL}caf"), (TOKENS.return_, "é<|return|>")])
    assert said(pieces)[1] == "café"


def test_pieces_come_without_waiting():
    machine = HarmonyMachine(TOKENS)
    for token, text in tokens_of(ANALYSIS):
        assert machine.feed(token, text) == []
    assert machine.thinking
    assert machine.feed(OTHER, "Let") == [ReasoningDelta("Let")]
    assert machine.feed(OTHER, " me ") == [ReasoningDelta(" me")]
    assert machine.feed(OTHER, "see") == [ReasoningDelta(" see")]
    assert machine.feed(TOKENS.end, "") == []
    assert not machine.thinking


def test_an_answer_without_a_header_comes_without_waiting():
    assert HarmonyMachine(TOKENS).feed(OTHER, '{"a"') == [TextDelta('{"a"')]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (f"{ANALYSIS}Hm.{NEXT}{FINAL}4<|return|>", 5),
        (f"{ANALYSIS}Hm.{NEXT}{ANALYSIS}Hm.{NEXT}{FINAL}4<|return|>", 12),
        (f"{ANALYSIS}Hm.", 4),
        (f"{FINAL}4", 0),
        (f"<|channel|>commentary<|message|>Plan.{NEXT}{ANALYSIS}Hm.<|end|>", 7),
    ],
)
def test_reasoning_tokens_count_the_trace_with_its_header_and_its_end(text, tokens):
    machine = HarmonyMachine(TOKENS)
    read(machine, tokens_of(text))
    assert machine.reasoning_tokens == tokens


@pytest.mark.parametrize(
    ("within", "text", "expected"),
    [
        ("assistant final", " is 4.<|return|>", ("", " is 4.", [])),
        ("assistant analysis", f" so 4.{NEXT}{FINAL}4", (" so 4.", "4", [])),
        ("assistant analysis", f"{NEXT}{FINAL}4", ("", "4", [])),
        ("assistant final", f".{NEXT}{ANALYSIS}Hm.", ("Hm.", ".", [])),
        ("assistant commentary to=functions.sky json", "{}", ("", "", [("sky", "{}")])),
        ("assistant commentary to=functions.sky json", "", ("", "", [("sky", "{}")])),
    ],
)
def test_a_message_that_the_prompt_began_is_continued(within, text, expected):
    assert run(text, within=within) == expected


def test_a_trace_that_the_prompt_began_is_thinking_from_the_start():
    assert HarmonyMachine(TOKENS, within="assistant analysis").thinking
    assert not HarmonyMachine(TOKENS, within="assistant final").thinking


PIECES = [*SPELLED, "assistant", "analysis", "commentary", "final", " to=functions.sky", " to=python", "json", " "]
PIECES += ["Hm.", " é", "\n", "to", ANALYSIS, FINAL, CALL, NEXT]
OUTPUTS = st.lists(st.sampled_from(PIECES)).map("".join)


def normal(pieces):
    """Neighbours of one kind as one, and calls without their ids."""
    merged: list[tuple] = []
    for piece in pieces:
        match piece:
            case ToolCallStart(call, _, name):
                merged.append((ToolCallStart, call, name))
            case ToolCallDelta(call, text):
                key = (ToolCallDelta, call)
                merged.append((*key, merged.pop()[2] + text if merged and merged[-1][:2] == key else text))
            case TextDelta(text) | ReasoningDelta(text):
                key = (type(piece), 0)
                merged.append((*key, merged.pop()[2] + text if merged and merged[-1][:2] == key else text))
    return merged


@given(OUTPUTS, st.booleans(), st.data())
@example(f"{ANALYSIS}Hm.\n{NEXT} to=functions.sky{FINAL}to", False, None)
def test_any_split_gives_the_pieces_of_the_whole(text, cut, data):
    split = []
    for token, piece in tokens_of(text):
        if token != OTHER:
            split.append((token, piece))
            continue
        cuts = sorted(data.draw(st.lists(st.integers(0, len(piece))))) if data else list(range(len(piece)))
        edges = zip([0, *cuts], [*cuts, len(piece)], strict=True)
        split += [(OTHER, piece[start:end]) for start, end in edges]
    whole = read(HarmonyMachine(TOKENS), tokens_of(text), cut=cut)
    assert normal(read(HarmonyMachine(TOKENS), split, cut=cut)) == normal(whole)


@given(OUTPUTS, st.booleans(), st.sampled_from(["", "assistant final", "assistant analysis", "to=functions.sky"]))
def test_nothing_leaks_and_no_piece_is_empty(text, cut, within):
    spelled = [(token, piece or SPELLED[token - 1]) for token, piece in tokens_of(text)]
    started = -1
    for piece in read(HarmonyMachine(TOKENS, within=within), spelled, cut=cut):
        match piece:
            case ToolCallStart(call, _, name):
                started += 1
                assert call == started
                assert name.startswith("sky")  # what a model writes behind it without a space belongs to it
                assert "<|" not in name
            case ToolCallDelta(call, text):
                assert call == started
                assert text
                assert "<|" not in text
            case TextDelta(text):
                assert text
                assert "<|" not in text
            case ReasoningDelta(text):
                assert text.strip()
                assert "<|" not in text


@given(st.lists(st.sampled_from(["Hm.", " é", "\n", "a"])).map("".join), st.sampled_from([ANALYSIS, FINAL, CALL]))
def test_no_header_text_leaks_out_of_a_whole_turn(body, header):
    first, last = f"{ANALYSIS}Hm.{NEXT}", f"{header}{body}<|end|>"
    assert not re.search("assistant|analysis|final|to=|json|functions", "".join(run(first + last)[:2]))


def tokenizer() -> Tokenizer:
    words = ["[UNK]", "assistant", "final", " to=functions.sky", "commentary", "user", "Hi"]
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}))
    made.add_special_tokens([AddedToken(token) for token in SPELLED])
    return made


def test_the_tokens_are_found_in_a_tokenizer():
    made = tokenizer()
    assert [made.id_to_token(token_id) for token_id in astuple(HarmonyTokens.of(made))] == list(SPELLED)


def test_a_tokenizer_without_them_is_refused():
    with pytest.raises(StartupError, match=re.escape("<|start|>")):
        HarmonyTokens.of(Tokenizer(models.WordLevel({"[UNK]": 0})))


@pytest.mark.parametrize(
    ("prompt", "header"),
    [
        (["<|start|>", "user", "<|message|>", "Hi", "<|end|>", "<|start|>", "assistant"], ""),
        (["<|start|>", "assistant", "<|channel|>", "final", "<|message|>"], "assistant final"),
        (["<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "Hi", "Hi"], "assistant final"),
        (["<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "Hi", "<|end|>"], ""),
        (
            ["<|start|>", "assistant", "<|channel|>", "commentary", " to=functions.sky", "<|message|>"],
            "assistant commentary to=functions.sky",
        ),
        ([], ""),
    ],
)
def test_the_header_of_the_message_that_a_prompt_ends_in_is_found(prompt, header):
    made = tokenizer()
    assert open_header(made, HarmonyTokens.of(made), [made.token_to_id(token) for token in prompt]) == header
