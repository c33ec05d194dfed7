"""The body of an answer in parts, past ASGI: what is written is what uvicorn would write, without its checks of each
message."""

from asyncio import Transport

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Body:
    """Of one request on its connection. The headers go through ASGI before, the end of the body after."""

    def __init__(self, transport: Transport, flow: FlowControl, cycle: RequestResponseCycle) -> None:
        self._transport, self._flow, self._cycle = transport, flow, cycle

    @property
    def open(self) -> bool:
        """Whether a part can be written at once: the client is there, and reads."""
        cycle = self._cycle
        return not (self._flow.write_paused or cycle.disconnected or cycle.response_complete) and bool(
            cycle.chunked_encoding
        )

    def write(self, part: bytes) -> None:
        """A part that is not empty, while it is open."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
