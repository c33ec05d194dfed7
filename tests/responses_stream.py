"""Checks of a response's stream: its frames, their numbers and order, and that its pieces add up to its end."""

import json
from dataclasses import dataclass, field

from tests.responses_schema import NULLABLE, check_item, check_response, published
from tests.schemas.published import Json, branches, validate

CANCELLED = "response.cancelled"  # ours: OpenAI has no last event for it
ENDS = {"response.completed", "response.incomplete", "response.failed", CANCELLED}
STATUSES = {
    "response.created": {"queued", "in_progress"},
    "response.queued": {"queued"},
    "response.in_progress": {"in_progress"},
    **{kind: {kind.removeprefix("response.")} for kind in ENDS},
}
# A response that was taken from the server that made it ends this much further on: nobody knows what was told before.
LOST = 1_000_000
BEGINNINGS = (("created",), ("created", "queued"))
MIDDLES = ((), ("in_progress",), ("in_progress", "items"))
# The events of a piece of text: the list that it stands in, its index there, and its name in the last event.
TEXTS = {
    "response.output_text": ("content", "content_index", "text"),
    "response.reasoning_text": ("content", "content_index", "text"),
    "response.reasoning_summary_text": ("summary", "summary_index", "text"),
    "response.function_call_arguments": ("arguments", "", "arguments"),
}
PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}


def read_events(text: str) -> list[Json]:
    frames = text.split("\n\n")
    assert frames.pop() == "", f"the stream ends inside a frame: {text[-80:]!r}"
    return [_event(frame) for frame in frames if not frame.startswith(":")]


def check_stream(events: list[Json], after: int | None = None) -> None:
    """Every event of a stream that came to its end. `after`: the number after which it was taken up again."""
    if after is not None and not events:
        return
    assert events, "the stream has no events"
    for event in events:
        _check_event(event)
    _check_end(events)
    _check_life(events, partial=after is not None)
    final = events[-1]["response"]
    numbers, first = [event["sequence_number"] for event in events], 0 if after is None else after + 1
    lost = final["status"] in ("failed", "cancelled") and numbers[-1] >= first + len(numbers) - 1 + LOST
    _check_numbers(numbers[:-1] if lost else numbers, first, final)
    told = [event["response"] for event in events if "response" in event]
    assert len({(each["id"], each["created_at"]) for each in told}) == 1, "response: its id or created_at changes"
    items = _Items(partial=after is not None)
    for event in events:
        items.take(event)
    if not lost:
        items.check(final["output"])


def _event(frame: str) -> Json:
    kind, _, data = frame.partition("\n")
    right = kind.startswith("event: ") and data.startswith("data: ") and "\n" not in data
    assert right, f"neither a frame of event and data nor a comment: {frame[:80]!r}"
    event: Json = json.loads(data.removeprefix("data: "))
    assert event.get("type") == kind.removeprefix("event: "), f"{kind!r} holds an event {event.get('type')!r}"
    return event


def _check_event(event: Json) -> None:
    kind = event["type"]
    schemas = branches("ResponseStreamEvent")
    assert kind in schemas or kind == CANCELLED, f"{kind}: unknown"
    if kind in STATUSES:
        check_response(event["response"])
        status = event["response"]["status"]
        assert status in STATUSES[kind], f"{kind}: holds a response that is {status}"
        event = {**event, "response": published(event["response"])}
    like = "response.completed" if kind == CANCELLED else kind
    validate(schemas[like], {**event, "type": like}, {f"response.{name}" for name in NULLABLE}, kind)


def _check_end(events: list[Json]) -> None:
    ends = [number for number, event in enumerate(events) if event["type"] in ENDS]
    assert ends, f"the stream ends on {events[-1]['type']}"
    assert ends == [len(events) - 1], f"the stream goes on behind {events[ends[0]]['type']}"


def _check_life(events: list[Json], partial: bool) -> None:
    """What is told of the response as a whole, and where its items come."""
    steps: list[str] = []
    for event in events[:-1]:
        step = event["type"].removeprefix("response.") if event["type"] in STATUSES else "items"
        if step != "items" or steps[-1:] != ["items"]:
            steps.append(step)
    right = [(*beginning, *middle) for beginning in BEGINNINGS for middle in MIDDLES]
    found = any(tuple(steps) == (each[len(each) - len(steps) :] if partial else each) for each in right)
    assert found, f"the stream's order is {', '.join(steps)}"


def _check_numbers(numbers: list[int], first: int, final: Json) -> None:
    """A trace that is not kept leaves gaps in what is told later."""
    gaps = any(item["type"] == "reasoning" and not item.get("content") for item in final["output"])
    expected = list(range(first, first + len(numbers)))
    if not gaps:
        assert numbers == expected, f"sequence_number: {numbers} instead of {expected}"
    assert numbers == sorted(set(numbers)), f"sequence_number: {numbers} do not rise"
    assert not numbers or numbers[0] >= first, f"sequence_number: begins with {numbers[0]} instead of {first}"


@dataclass
class _Text:
    """A text while it is joined. `partial`: it began before the stream did."""

    partial: bool
    joined: str = ""
    tokens: list[str] = field(default_factory=list)
    told: bool = False
    closed: bool = False

    def add(self, event: Json, where: str) -> None:
        assert not self.told, f"{where}: a delta behind its end"
        assert event["delta"], f"{where}: an empty delta"
        self.joined += event["delta"]
        self.tokens += _tokens(event)

    def tell(self, text: str, tokens: list[str], where: str) -> None:
        assert not self.told, f"{where}: its end is told again"
        self.told = True
        self.check(text, tokens, where)

    def close(self, part: Json, where: str) -> None:
        assert self.told or self.partial, f"{where}: closed before its text is told"
        assert not self.closed, f"{where}: closed again"
        self.closed = True
        self.check(part["text"], _tokens(part), where)

    def check(self, text: str, tokens: list[str], where: str) -> None:
        same = text.endswith(self.joined) if self.partial else text == self.joined
        assert same, f"{where}: {text!r} where the deltas are {self.joined!r}"
        end = tokens[len(tokens) - len(self.tokens) :] if self.partial else tokens
        assert end == self.tokens, f"{where}: logprobs of {tokens} where the deltas have {self.tokens}"


@dataclass
class _Item:
    """An item while it is open. `partial`: it began before the stream did."""

    id: str
    index: int
    partial: bool
    texts: dict[tuple[str, int], _Text] = field(default_factory=dict)

    def begin(self, name: str, index: int, where: str) -> None:
        there = [each for each in self.texts if each[0] == name]
        assert self.partial or index == len(there), f"{where}: a part out of order"
        assert all(self.texts[each].closed for each in there), f"{where}: begins while another is open"
        self.texts[name, index] = _Text(partial=False)

    def text(self, name: str, index: int, where: str) -> _Text:
        if self.partial or name == "arguments":
            return self.texts.setdefault((name, index), _Text(self.partial))
        assert (name, index) in self.texts, f"{where}: before its part is added"
        return self.texts[name, index]

    def end(self, item: Json, where: str) -> None:
        for name in ("content", "summary"):
            streamed = sum(each == name for each, _ in self.texts)
            assert self.partial or len(item.get(name, [])) == streamed, f"{where}.{name}: {streamed} were streamed"
        for (name, index), text in self.texts.items():
            assert text.told if name == "arguments" else text.closed, f"{where}: done while its {name} is open"
            text.check(item[name] if name == "arguments" else item[name][index]["text"], text.tokens, where)


class _Items:
    """The output, put together from events. `partial`: the stream may begin anywhere."""

    def __init__(self, partial: bool) -> None:
        self._partial = partial
        self._open: _Item | None = None
        self._done: dict[int, Json] = {}

    def take(self, event: Json) -> None:
        subject, _, step = event["type"].rpartition(".")
        where = event["type"]
        if subject == "response.output_item":
            check_item(event["item"], f"{where}: item")
            (self._add if step == "added" else self._finish)(event, where)
        elif subject in PARTS:
            name, index = PARTS[subject]
            self._part(event, name, event[index], where)
        elif subject in TEXTS:
            name, index, whole = TEXTS[subject]
            text = self._item(event, where).text(name, event[index] if index else 0, where)
            text.add(event, where) if step == "delta" else text.tell(event[whole], _tokens(event), where)

    def check(self, output: list[Json]) -> None:
        assert self._open is None, "the stream ends while an item is open"
        assert self._partial or len(output) == len(self._done), f"output: {len(self._done)} items were streamed"
        for index, item in self._done.items():
            assert output[index] == item, f"output[{index}]: {output[index]} where the stream said {item}"

    def _add(self, event: Json, where: str) -> None:
        item, index = event["item"], event["output_index"]
        assert self._open is None, f"{where}: begins while another item is open"
        before = max(self._done, default=None if self._partial else -1)
        assert before is None or index == before + 1, f"{where}.output_index: {index} out of order"
        assert item["status"] == "in_progress", f"{where}: its item is {item['status']}"
        assert not any(item.get(name) for name in ("content", "summary", "arguments")), f"{where}: not empty"
        self._open = _Item(item["id"], index, partial=False)

    def _finish(self, event: Json, where: str) -> None:
        item = event["item"]
        self._item({**event, "item_id": item["id"]}, where).end(item, where)
        assert item["status"] != "in_progress", f"{where}: its item is in_progress"
        self._done[event["output_index"]] = item
        self._open = None

    def _part(self, event: Json, name: str, index: int, where: str) -> None:
        item = self._item(event, where)
        if where.endswith("added"):
            assert event["part"]["text"] == "", f"{where}: not empty"
            item.begin(name, index, where)
        else:
            item.text(name, index, where).close(event["part"], where)

    def _item(self, event: Json, where: str) -> _Item:
        if self._open is None and self._partial and not self._done:
            self._open = _Item(event["item_id"], event["output_index"], partial=True)
        assert self._open is not None, f"{where}: no item is open"
        found = (event["item_id"], event["output_index"])
        assert found == (self._open.id, self._open.index), f"{where}: of {found}, which is not the open item"
        return self._open


def _tokens(holder: Json) -> list[str]:
    return [each["token"] for each in holder.get("logprobs", [])]
