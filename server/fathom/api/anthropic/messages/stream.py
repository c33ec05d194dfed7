"""Events to the frames of a streamed message: message_start, its blocks one by one, message_delta, message_stop.

What stays the same in every piece of a block is encoded once per block; a token costs one small JSON string.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from fathom.api import sse
from fathom.api.anthropic.messages.blocks import Block, Blocks, signature
from fathom.api.anthropic.messages.schemas import MessagesRequest
from fathom.api.anthropic.messages.translate import TIER, ending, envelope, usage
from fathom.core.events import Accepted, Echo, Event, Finished, Piece, Queued, Tokens
from fathom.serving.sealing import Seals

_encode = msgspec.json.encode
_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}


def _frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))


PING = _frame("ping")


class MessageStream:
    """Events to frames of one streamed message.

    Its blocks are sent one after the other. While a call lacks a part of its arguments, what comes behind it waits.
    """

    def __init__(self, body: MessagesRequest, message_id: str, seals: Seals, context_length: int) -> None:
        self._body, self._context_length = body, context_length
        self._envelope = envelope(body.model, message_id)
        self._seals, self._omit = seals, body.omits_trace
        self._blocks = Blocks()
        self._open: Block | None = None  # the last block that the client knows of
        self._before = b""
        self._finished = False

    async def frames(self, events: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        async with aclosing(events):
            async for event in events:
                if frame := self.frame(event):
                    yield frame
        assert self._finished, "an engine ends every choice with Finished, or raises"

    def frame(self, event: Event) -> bytes:
        """Nothing, for what the client does not see."""
        match event:
            case Accepted():
                return self._begin(event)
            case Finished():
                return self._end(event)
            case Queued():
                return sse.queued(event)
            case Echo() | Tokens():
                return b""
            case piece:
                return self._piece(piece)

    def _begin(self, event: Accepted) -> bytes:
        nothing_yet = Finished("stop", event.prompt_tokens, 0)
        message = self._envelope | {"usage": usage(nothing_yet) | TIER}
        return _frame("message_start", message=message) + PING

    def _end(self, event: Finished) -> bytes:
        self._finished = True
        blocks = self._next_blocks(cut=True) + self._close()
        return (
            blocks
            + _frame("message_delta", delta=ending(event, self._body, self._context_length), usage=usage(event))
            + _frame("message_stop")
        )

    def _piece(self, piece: Piece) -> bytes:
        block = self._blocks.take(piece)
        if block is None:
            return b""
        frame = self._delta(block.pieces[-1]) if block is self._open else b""
        return frame if self._next() is None else frame + self._next_blocks()

    def _next_blocks(self, cut: bool = False) -> bytes:
        """Close the open block if it is over, and open the next one with all that came for it; and so on."""
        frames = b""
        while (block := self._next()) and (cut or self._open is None or self._open.whole):
            frames += self._close() + self._start(block)
        return frames

    def _next(self) -> Block | None:
        at = 0 if self._open is None else self._open.index + 1
        return self._blocks.all[at] if at < len(self._blocks.all) else None

    def _start(self, block: Block) -> bytes:
        kind, name = _DELTAS[block.kind]
        delta = b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
        self._before = b"event: content_block_delta\ndata: " + delta % (block.index, kind.encode(), name.encode())
        self._open = block
        start = _frame("content_block_start", index=block.index, content_block=block.opening())
        return start + (self._delta(block.text) if block.pieces else b"")

    def _delta(self, text: str) -> bytes:
        if self._omit and self._open and self._open.kind == "thinking":
            return b""
        return self._before + _encode(text) + b"}}\n\n"

    def _close(self) -> bytes:
        block = self._open
        if block is None:
            return b""
        frames = b""
        if block.kind == "thinking":
            delta = {"type": "signature_delta", "signature": signature(block.text, self._seals, self._omit)}
            frames = _frame("content_block_delta", index=block.index, delta=delta)
        return frames + _frame("content_block_stop", index=block.index)
