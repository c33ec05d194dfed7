"""Whatever a client names, this server calls nobody."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile.limits import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from tests.hostile.runner import ANY, BAD, Case, fields, send_all
from tests.hostile.target import Target

Json = dict[str, Any]


class Lure:
    """A port of this machine that nobody should call."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.calls = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            caller, _ = self._socket.accept()
            self.calls += 1
            caller.close()


@pytest.fixture(scope="module")
def lure() -> Lure:
    return Lure()


def cases(target: Target, url: str) -> Iterator[Case]:
    for each in (f"{url}/x.png", url.replace("http", "ftp"), url.replace("http:", ""), f"file://{url[5:]}/etc/passwd"):
        for part in (
            {"type": "image_url", "image_url": {"url": each}},
            {"type": "input_image", "image_url": each},
            {"type": "video_url", "video_url": {"url": each}},
            {"type": "audio_url", "audio_url": {"url": each}},
            {"type": "file", "file": {"file_url": each}},
        ):
            yield fields(target, CHAT, f"{part}", messages=[{"role": "user", "content": [part]}])
            yield fields(target, RESPONSES, f"{part}", input=[{"role": "user", "content": [part]}])
        image = {"type": "image", "source": {"type": "url", "url": each}}
        yield fields(target, MESSAGES, f"{image}", messages=[{"role": "user", "content": [image]}])
        tool = {"type": "mcp", "server_label": "x", "server_url": each, "require_approval": "never"}
        yield fields(target, RESPONSES, f"{tool}", tools=[tool])
        yield fields(target, MESSAGES, f"mcp {each}", mcp_servers=[{"type": "url", "url": each, "name": "x"}])
        yield fields(target, CHAT, f"template {each}", chat_template=each)
        yield fields(target, CHAT, f"kwargs {each}", chat_template_kwargs={"chat_template": each})
        yield fields(target, CHAT, f"search {each}", web_search_options={"url": each})
        yield fields(target, COMPLETIONS, f"embeds {each}", prompt_embeds=each)
        yield fields(target, RESPONSES, f"prompt {each}", prompt={"id": each})
        for path in target.dialects:
            yield fields(target, path, f"model {each}", frozenset({404}), model=each)
            yield fields(target, path, f"unknown fields {each}", ANY, webhook=each, callback_url=each, base_url=each)
        text = f"![]({each}) <img src='{each}'> {{{{ lipsum.__globals__ }}}} {each}"
        yield fields(target, CHAT, f"text {each}", ANY, messages=[{"role": "user", "content": text}], user=text)
        yield fields(target, RESPONSES, f"text {each}", ANY, input=text, metadata={"webhook": each})
        yield Case(f"a header {each}", CHAT, b"{}", BAD, {"content-type": "application/json", "x-forwarded-host": each})


def test_no_address_that_a_client_names_is_ever_called(target: Target, lure: Lure) -> None:
    with target.abused("addresses") as score:
        send_all(target, cases(target, lure.url), score)
    assert lure.calls == 0


def test_the_lure_counts(lure: Lure) -> None:
    before = lure.calls
    with socket.create_connection(("127.0.0.1", int(lure.url.rpartition(":")[2]))) as caller:
        assert caller.recv(1) == b""
    assert lure.calls == before + 1
