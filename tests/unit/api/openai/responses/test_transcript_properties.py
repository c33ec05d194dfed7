"""Whatever an engine says in whatever order, the stream, the final body and the snapshot say the same."""

import json
from dataclasses import dataclass, field
from typing import Any

from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.core.errors import ServiceError
from fathom.core.events import Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.api.openai.responses.making import SEALS, kept, played, shown, transcript

TEXT = st.sampled_from(["a", "é🐍", '"quoted" \\', "\n", "<think>", "\u2028", "{}", "\x00"])
PIECES = st.lists(TEXT, min_size=1, max_size=3)


@st.composite
def events(draw: st.DrawFn) -> list[Any]:
    """Runs of pieces in any order; calls may have no arguments at all."""
    said: list[Any] = []
    for call in range(draw(st.integers(0, 5))):
        match draw(st.sampled_from(["reasoning", "text", "call"])):
            case "reasoning":
                said += map(ReasoningDelta, draw(PIECES))
            case "text":
                said += map(TextDelta, draw(PIECES))
            case _:
                said.append(ToolCallStart(call, f"call_{call}", "f"))
                said += [ToolCallDelta(call, piece) for piece in draw(st.lists(TEXT, max_size=3))]
    return said


OPTIONS = st.builds(
    TraceOptions,
    visible=st.booleans(),
    summary=st.booleans(),
    seals=st.sampled_from([None, SEALS]),
    keeping=st.sampled_from(["keep", "drop", "hash"]),
)
LAST = st.sampled_from(["stop", "tool_calls", "length", "fail", "cancel"])


@dataclass
class Client:
    """Puts a response together from its events, and minds their order."""

    output: list[dict[str, Any]] = field(default_factory=list)
    open: dict[str, Any] | None = None
    deltas: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert self.open is None
            assert event["output_index"] == len(self.output)
            self.open, self.deltas, self.told = event["item"], {}, {}
            assert self.open["status"] == "in_progress"
        elif kind == "output_item.done":
            assert self.open is not None
            assert event["item"]["id"] == self.open["id"]
            assert self.deltas == self.told, "every text that grew was told as a whole"
            self._compare(event["item"])
            self.output.append(event["item"])
            self.open = None
        elif "response" not in event:
            assert self.open is not None
            assert (event["item_id"], event["output_index"]) == (self.open["id"], len(self.output))
            self._piece(kind, event)

    def _piece(self, kind: str, event: dict[str, Any]) -> None:
        name, _, step = kind.rpartition(".")
        if step == "delta":
            assert event["delta"]
            assert name not in self.told
            self.deltas[name] = self.deltas.get(name, "") + event["delta"]
        elif step == "done" and "part" not in event:
            self.told[name] = event["arguments" if "arguments" in event else "text"]
            self.deltas.setdefault(name, "")

    def _compare(self, item: dict[str, Any]) -> None:
        texts = {
            "reasoning_text": "".join(part["text"] for part in item.get("content", []) if item["type"] == "reasoning"),
            "reasoning_summary_text": "".join(part["text"] for part in item.get("summary", [])),
            "output_text": "".join(part["text"] for part in item.get("content", []) if item["type"] == "message"),
            "function_call_arguments": item.get("arguments", ""),
        }
        assert {name: text for name, text in texts.items() if text or name in self.told} == self.told


@settings(deadline=None)
@given(events(), OPTIONS, LAST, st.integers(0, 3))
def test_stream_and_body_say_the_same(said, options, last, number):
    one = transcript(options, number)
    finish = [Finished(last, 5, 9, 3, 2)] if last in ("stop", "tool_calls", "length") else []
    frames = played(one, [*said, *finish])
    frames += one.fail(ServiceError("broken")) if last == "fail" else one.cancel() if last == "cancel" else []
    told = shown(frames)
    assert [event["sequence_number"] for event in told] == list(range(number, number + len(frames)))
    assert [event["type"] for event in told] == [frame.kind for frame in frames]
    client = Client()
    for event in told:
        client.take(event)
    assert client.open is None
    assert one.terminal
    assert told[-1]["response"] == json.loads(json.dumps(one.shown()))
    assert client.output == told[-1]["response"]["output"]
    assert kept(frames)[-1]["response"] == json.loads(json.dumps(one.body()))
    assert [item["id"] for item in one.body()["output"]] == [item["id"] for item in client.output]


@settings(deadline=None)
@given(events(), st.booleans(), st.sampled_from([None, SEALS]))
def test_where_traces_are_kept_later_readers_see_what_the_client_saw(said, summary, seals):
    frames = played(transcript(TraceOptions(summary=summary, seals=seals)), [*said, Finished("stop", 5, 9)])
    assert all(frame.kept is frame.data for frame in frames)


@settings(deadline=None)
@given(events(), st.sampled_from(["drop", "hash"]), st.booleans())
def test_where_traces_are_not_kept_nothing_of_them_is(said, keeping, visible):
    marked = [ReasoningDelta(f"SECRET{each.text}") if isinstance(each, ReasoningDelta) else each for each in said]
    one = transcript(TraceOptions(visible, True, SEALS, keeping))
    frames = played(one, [*marked, Finished("stop", 5, 9)])
    assert "SECRET" not in json.dumps([kept(frames), one.body()])
    assert "encrypted_content" not in json.dumps([kept(frames), one.body()])
