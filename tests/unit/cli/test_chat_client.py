import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fathom.cli.chat_client import ChatClient, Ended, Piece, Startup
from fathom.cli.wire import NoAnswer
from fathom.core.events import ReasoningDelta, TextDelta

from tests.unit.cli.canned import Canned, canned_server

Serve = Callable[..., ChatClient]

DONE = b"data: [DONE]\n\n"


@pytest.fixture
def canned() -> Iterator[Canned]:
    with canned_server() as server:
        yield server


@pytest.fixture
def serve(canned: Canned) -> Iterator[Serve]:
    clients: list[ChatClient] = []

    def answer_with(body: bytes, status: int = 200, *, cut: bool = False, api_key: str | None = None) -> ChatClient:
        canned.body, canned.status, canned.cut = body, status, cut
        clients.append(ChatClient(f"http://127.0.0.1:{canned.server_port}", api_key))
        return clients[-1]

    yield answer_with
    for client in clients:
        client.close()


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def delta(**fields: str) -> bytes:
    return frame(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def pieces(client: ChatClient) -> list[Piece]:
    return list(client.answer({}))


def test_an_answer_comes_as_trace_text_and_figures(serve: Serve) -> None:
    usage = {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
    stream = [
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm", reasoning="Hm"),
        delta(content="Yes"),
        frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        frame(choices=[], usage=usage),
        DONE,
    ]
    assert pieces(serve(b"".join(stream))) == [ReasoningDelta("Hm"), TextDelta("Yes"), Ended("stop", 5, 2)]


def test_a_trace_under_the_shorter_name_is_a_trace(serve: Serve) -> None:
    assert pieces(serve(delta(reasoning="Hm") + DONE))[0] == ReasoningDelta("Hm")


def test_a_server_that_does_not_count_is_good_enough(serve: Serve) -> None:
    assert pieces(serve(delta(content="Yes") + frame(choices=[], usage=None) + DONE))[-1] == Ended()


def test_frames_may_come_in_pieces_of_any_size(serve: Serve, canned: Canned) -> None:
    canned.step = 7
    stream = delta(reasoning="Hé") + delta(content="Ÿes") + DONE
    assert pieces(serve(stream)) == [ReasoningDelta("Hé"), TextDelta("Ÿes"), Ended()]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x1c", "\r"])
def test_characters_that_some_take_for_line_ends_do_not_split_a_frame(serve: Serve, separator: str) -> None:
    assert pieces(serve(delta(content=f"a{separator}b") + DONE))[0] == TextDelta(f"a{separator}b")


def test_comments_other_fields_and_carriage_returns_are_passed_over(serve: Serve) -> None:
    stream = (
        b": keep-alive\r\n\r\nevent: x\r\n" + delta(content="Yes").replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n"
    )
    assert pieces(serve(stream)) == [TextDelta("Yes"), Ended()]


@pytest.mark.parametrize("error", [{"message": "It broke.", "code": None}, "It\n broke."])
def test_an_error_frame_carries_the_servers_message(serve: Serve, error: object) -> None:
    answer = serve(delta(content="Half") + frame(error=error)).answer({})
    assert next(answer) == TextDelta("Half")
    with pytest.raises(NoAnswer, match=r"^It broke\.$"):
        next(answer)


def test_a_stream_that_ends_early_is_no_answer(serve: Serve) -> None:
    with pytest.raises(NoAnswer, match="closed the connection in the middle"):
        pieces(serve(delta(content="Half")))


def test_a_connection_that_breaks_is_no_answer(serve: Serve) -> None:
    with pytest.raises(NoAnswer, match=r"the connection to http://.* was lost: "):
        pieces(serve(delta(content="Half"), cut=True))


def test_a_frame_that_cannot_be_read_is_no_answer(serve: Serve) -> None:
    with pytest.raises(NoAnswer, match="a frame that is none"):
        pieces(serve(b"data: <html>\n\n"))


def test_a_refusal_carries_the_servers_message(serve: Serve) -> None:
    with pytest.raises(NoAnswer, match=r"^Too long\.$"):
        pieces(serve(b'{"error": {"message": "Too long."}}', 400))


def test_where_a_key_is_asked_for_it_is_said_how_to_give_one(serve: Serve) -> None:
    client = serve(b'{"error": {"message": "No key."}}', 401)
    for ask in (client.models, lambda: pieces(client)):
        with pytest.raises(NoAnswer, match=r"^No key; give a key with --api-key, or in FATHOM_API_KEY$"):
            ask()


@pytest.mark.parametrize("status", [302, 502])
def test_a_refusal_in_no_known_shape_carries_the_status(serve: Serve, status: int) -> None:
    with pytest.raises(NoAnswer, match=rf"/v1/chat/completions answers {status} \w+"):
        pieces(serve(b"<html>", status))


def test_the_request_asks_for_a_stream_with_usage(serve: Serve, canned: Canned) -> None:
    list(serve(DONE, api_key="secret").answer({"model": "m"}))
    assert json.loads(canned.seen["body"]) == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert canned.seen["headers"]["authorization"] == "Bearer secret"


def test_models_are_their_ids(serve: Serve) -> None:
    assert serve(b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}').models() == ["a", "b"]


def test_a_server_of_another_kind_is_told_apart(serve: Serve) -> None:
    with pytest.raises(NoAnswer, match="is not an OpenAI-compatible server"):
        serve(b"<html>").models()


def test_a_start_is_told_until_it_is_over(serve: Serve) -> None:
    state = b'{"status": "not ready", "phase": "downloading", "share": 0.5}'
    assert serve(state, 503).startup() == Startup("downloading", 0.5)
    assert serve(state, 200).startup() is None


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_does_not_tell_of_its_start_is_taken_for_ready(serve: Serve, status: int) -> None:
    assert serve(b"no such page", status).startup() is None


@pytest.mark.parametrize("url", ["host:1", "http://host:1/", "http://host:1/v1", "http://host:1/v1/"])
def test_a_url_may_be_written_as_people_write_it(url: str) -> None:
    client = ChatClient(url)
    assert client.url == "http://host:1"
    client.close()
