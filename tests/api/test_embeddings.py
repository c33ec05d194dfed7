import asyncio
import base64
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fathom.core.engine import Embedding
from fathom.core.errors import Unsupported
from fathom.core.generation import Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.scripted_engine import ScriptedEngine

from tests.running import app_running, until


class Embedder(ScriptedEngine):
    """A scripted embedding model of 8 dimensions, or 4 if asked. It waits on "wait", and knows what was cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.embeds = True
        self.waiting = 0
        self.cut_short = 0

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        if dimensions not in (None, 4, 8):
            raise Unsupported(f"dimensions = {dimensions} is not supported.", param="dimensions")
        if prompt == Text("wait"):
            self.waiting += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cut_short += 1
                raise
        if isinstance(prompt, Text) and len(prompt.text) > 100:
            raise Unsupported("This input is too long.", param="input")
        return await super().embed(request_id, prompt, dimensions)


@pytest.fixture
def engine() -> Embedder:
    return Embedder()


@pytest.fixture
def client(engine: Embedder) -> Iterator[httpx.Client]:
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


def embed(client: httpx.Client, given: Any, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json={"model": "scripted", "input": given, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refused(client: httpx.Client, given: Any, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json={"model": "scripted", "input": given, **fields})
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def one_at(place: int, size: int = 8) -> list[float]:
    return [float(at == place) for at in range(size)]


def test_a_text_gives_one_vector_in_openais_shape(client: httpx.Client) -> None:
    assert embed(client, "abc") == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": one_at(3)}],
        "model": "scripted",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_texts_give_their_vectors_in_order(client: httpx.Client) -> None:
    words = ["x" * length for length in (5, 1, 3, 2)] * 50
    body = embed(client, words)
    assert [item["index"] for item in body["data"]] == list(range(200))
    assert [item["embedding"] for item in body["data"]] == [one_at(len(word)) for word in words]
    assert body["usage"]["prompt_tokens"] == sum(map(len, words))


def test_token_ids_are_one_input_and_lists_of_them_are_several(client: httpx.Client) -> None:
    assert [item["embedding"] for item in embed(client, [65, 66])["data"]] == [one_at(2)]
    assert [item["embedding"] for item in embed(client, [[65, 66], [67]])["data"]] == [one_at(2), one_at(1)]


def test_base64_holds_the_same_numbers_as_little_endian_floats(client: httpx.Client) -> None:
    encoded = embed(client, "abc", encoding_format="base64")["data"][0]["embedding"]
    assert list(struct.unpack("<8f", base64.b64decode(encoded))) == one_at(3)


def test_dimensions_reach_the_engine(client: httpx.Client) -> None:
    assert embed(client, "abc", dimensions=4)["data"][0]["embedding"] == one_at(3, 4)
    assert refused(client, "abc", dimensions=5)["param"] == "dimensions"


def test_null_is_the_same_as_leaving_a_field_out(client: httpx.Client) -> None:
    fields = {"encoding_format": None, "dimensions": None, "user": None}
    assert embed(client, "abc", **fields)["data"][0]["embedding"] == one_at(3)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (None, "input"),
        ("", "input"),
        (5, "input"),
        ({}, "input"),
        ([], "input"),
        (["a", ""], "input.1"),
        (["a", 5], "input.1"),
        ([[1], []], "input.1"),
        ([[]], "input.0"),
        ([1, "a"], "input.1"),
        ([1, -1], "input.1"),
        ([True], "input.0"),
        ([1, 2.5], "input.1"),
        ([[1], [2, "x"]], "input.1.1"),
        (["x"] * 2049, "input"),
        ([[1]] * 2049, "input"),
    ],
)
def test_a_bad_input_is_refused_at_its_place(client: httpx.Client, given: Any, param: str) -> None:
    error = refused(client, given)
    assert (error["type"], error["param"]) == ("invalid_request_error", param), error["message"]


def test_the_most_inputs_pass(client: httpx.Client) -> None:
    assert len(embed(client, ["x"] * 2048)["data"]) == 2048


@pytest.mark.parametrize(("given", "param"), [('"\\ud800"', "input"), ('["a", "\\ud800"]', "input.1")])
def test_half_a_character_is_refused(client: httpx.Client, given: str, param: str) -> None:
    content = f'{{"model": "scripted", "input": {given}}}'
    response = client.post("/v1/embeddings", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"encoding_format": "hex"}, "encoding_format"), ({"dimensions": 0}, "dimensions"), ({"model": None}, "model")],
)
def test_a_bad_field_is_named(client: httpx.Client, fields: dict[str, Any], param: str) -> None:
    assert refused(client, "abc", **fields)["param"] == param


def test_an_unknown_model_is_404(client: httpx.Client) -> None:
    response = client.post("/v1/embeddings", json={"model": "other", "input": "a"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_unknown_fields_are_named_in_a_header(client: httpx.Client) -> None:
    response = client.post("/v1/embeddings", json={"model": "scripted", "input": "a", "mood": "sunny"})
    assert response.headers["x-fathom-ignored-params"] == "mood"


def test_one_bad_input_fails_the_request_and_ends_the_others(client: httpx.Client, engine: Embedder) -> None:
    error = refused(client, ["wait", "x" * 101, "wait"])
    assert (error["param"], error["code"]) == ("input.1", "unsupported_value")
    assert engine.cut_short == engine.waiting > 0


def test_a_client_that_hangs_up_ends_its_inputs(client: httpx.Client, engine: Embedder) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/embeddings", json={"model": "scripted", "input": ["wait", "wait"]}, timeout=0.5)
    until(lambda: engine.cut_short == 2, "both inputs are cut short")


def test_its_tokens_are_counted(client: httpx.Client) -> None:
    def count() -> float:
        lines = client.get("/metrics").text.splitlines()
        name = 'fathom_prompt_tokens_total{cached="false"} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = count()
    embed(client, ["abc", "de"])
    assert count() == before + 5


def test_a_generative_model_says_why_it_cannot(engine: Embedder) -> None:
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        error = refused(client, "abc")
    assert (error["param"], error["code"]) == ("model", "unsupported_value")
    assert "embeddings" in error["message"]
