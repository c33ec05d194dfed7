"""Checks of whole streams: the frames of server-sent events, and the order of what is in them."""

import json
from typing import Any

from tests.openai_schema import TRACE, check_calls, check_chunk, check_text_chunk
from tests.schemas.published import Json

DONE = "[DONE]"


def read_events(text: str) -> list[Json]:
    """The chunks of a stream that ended well: data frames and comments only, one [DONE], and it is the last."""
    frames = text.split("\n\n")
    assert frames.pop() == "", f"the stream ends inside a frame: {text[-80:]!r}"
    data = [frame.removeprefix("data: ") for frame in frames if not frame.startswith(":")]
    unknown = [frame for frame in frames if not frame.startswith((":", "data: ")) or "\n" in frame]
    assert not unknown, f"neither a data frame nor a comment: {unknown[0][:80]!r}"
    assert data, "the stream has no frames"
    assert data[-1] == DONE, f"the last frame is {data[-1][:80]!r} instead of {DONE}"
    assert data.count(DONE) == 1, f"{DONE} comes {data.count(DONE)} times"
    return [json.loads(frame) for frame in data[:-1]]


def check_stream(chunks: list[Json], trace: tuple[str, ...] = TRACE) -> None:
    """Every chunk of a chat stream, in order, without [DONE]."""
    for chunk in chunks:
        check_chunk(chunk, trace)
    _check_frame(chunks)
    for index, steps in _by_choice(chunks).items():
        _check_opening(steps, f"choice {index}")
        _check_ending(steps, f"choice {index}")
        check_calls(_joined_calls(steps, f"choice {index}"), steps[-1]["finish_reason"], f"choice {index}: tool_calls")


def check_text_stream(chunks: list[Json]) -> None:
    """Every chunk of a legacy completion's stream, in order, without [DONE]."""
    for chunk in chunks:
        check_text_chunk(chunk)
    _check_frame(chunks)
    for index, steps in _by_choice(chunks).items():
        reasons = [step["finish_reason"] for step in steps]
        assert reasons[-1] is not None, f"choice {index}: no finish_reason at its end"
        assert reasons.count(None) == len(reasons) - 1, f"choice {index}: goes on behind its finish_reason"


def joined(chunks: list[Json]) -> list[Json]:
    """The choices of a chat stream in the shape of a whole completion's."""
    return [_joined_choice(index, steps) for index, steps in sorted(_by_choice(chunks).items())]


def _joined_choice(index: int, steps: list[Json]) -> Json:
    deltas = [step["delta"] for step in steps]
    calls = _joined_calls(steps, f"choice {index}")
    message: Json = {
        "role": "assistant",
        "content": _text(deltas, "content") or (None if calls else ""),
        "refusal": None,
    }
    message |= {name: text for name in TRACE if (text := _text(deltas, name))}
    message |= {"tool_calls": calls} if calls else {}
    logprobs = [each for step in steps for each in (step.get("logprobs") or {}).get("content") or ()]
    return {
        "index": index,
        "message": message,
        "finish_reason": steps[-1]["finish_reason"],
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
    }


def _text(deltas: list[Json], name: str) -> str:
    return "".join(delta.get(name) or "" for delta in deltas)


def _by_choice(chunks: list[Json]) -> dict[int, list[Json]]:
    choices: dict[int, list[Json]] = {}
    for chunk in chunks:
        for step in chunk["choices"]:
            choices.setdefault(step["index"], []).append(step)
    return choices


def _check_frame(chunks: list[Json]) -> None:
    """What all chunks share, and where usage stands: nowhere, or null until a last chunk without choices."""
    assert chunks, "the stream has no chunks"
    for name in ("id", "object", "created", "model"):
        values: set[Any] = {chunk[name] for chunk in chunks}
        assert len(values) == 1, f"{name}: changes within the stream, {values}"
    told = ["usage" in chunk for chunk in chunks]
    assert len(set(told)) == 1, "usage: in some chunks only"
    if told[0]:
        assert chunks[-1]["usage"] is not None, "usage: missing from the last chunk"
        assert all(chunk["usage"] is None for chunk in chunks[:-1]), "usage: told before the end"
    empty = [number for number, chunk in enumerate(chunks) if not chunk["choices"]]
    assert empty == ([len(chunks) - 1] if told[0] else []), f"choices: empty in chunks {empty}"


def _check_opening(steps: list[Json], where: str) -> None:
    opening = {"role": "assistant", "content": ""}
    assert steps[0]["delta"] == opening, f"{where}: begins with {steps[0]['delta']} instead of {opening}"
    assert not any("role" in step["delta"] for step in steps[1:]), f"{where}: says its role again"


def _check_ending(steps: list[Json], where: str) -> None:
    assert steps[-1]["finish_reason"] is not None, f"{where}: no finish_reason at its end"
    early = [step["finish_reason"] for step in steps[:-1] if step["finish_reason"] is not None]
    assert not early, f"{where}: goes on behind finish_reason {early[:1]}"


def _joined_calls(steps: list[Json], where: str) -> list[Json] | None:
    """Calls put together from their pieces: the first names the function, the others only carry arguments."""
    calls: list[Json] = []
    for piece in (each for step in steps for each in step["delta"].get("tool_calls", ())):
        path = f"{where}: tool_calls[{piece['index']}]"
        function = piece.get("function", {})
        if piece["index"] == len(calls):
            assert piece.keys() >= {"id", "type", "function"}, f"{path}: opens with {sorted(piece)} only"
            assert function.get("name"), f"{path}.function.name: missing in its first piece"
            opened = {"name": function["name"], "arguments": ""}
            calls.append({"id": piece["id"], "type": piece["type"], "function": opened})
        else:
            assert piece["index"] == len(calls) - 1, f"{path}: a piece out of order"
            assert piece.keys() == {"index", "function"}, f"{path}: a later piece has {sorted(piece)}"
        calls[-1]["function"]["arguments"] += function.get("arguments", "")
    return calls or None
