import json
import shlex
import subprocess
from dataclasses import replace

import pytest
from fathom.cli.banner import banner
from fathom.core.engine import ModelCard

CARD = ModelCard("m", "somewhere", "plain", "cpu", "bfloat16", 4096, 10240, 0, ("poet",))


def test_it_says_what_is_served_and_how_much_fits():
    text = banner(CARD, "127.0.0.1", 8000)
    assert "4,096 tokens" in text
    assert "10,240 tokens = 2.5 requests of full length" in text
    assert "poet" in text


def test_an_open_server_is_said_to_be():
    assert "open to this machine" in banner(CARD, "127.0.0.1", 8000)


@pytest.mark.parametrize("key", ["fk-secret", None])
def test_where_keys_are_asked_for_its_curl_line_has_one(key, monkeypatch):
    text = banner(CARD, "0.0.0.0", 8000, key, keys=True)
    assert "open to" not in text
    line = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    monkeypatch.setenv("FATHOM_API_KEY", "fk-mine")
    said = subprocess.run(
        ["bash", "-c", line.replace("curl", "printf '%s\\n'", 1)], capture_output=True, text=True
    ).stdout
    assert f"Authorization: Bearer {key or 'fk-mine'}" in said.splitlines()


def test_the_first_key_is_shown():
    text = banner(CARD, "0.0.0.0", 8000, "fk-secret", keys=True)
    assert "access    fk-secret  (the first key" in text


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")],
)
def test_its_curl_line_is_whole(host, url):
    line = next(line for line in banner(CARD, host, 8000).splitlines() if line.strip().startswith("curl"))
    words = shlex.split(line)
    assert words[2] == f"{url}/v1/chat/completions"
    assert json.loads(words[-1])["model"] == "m"


def test_an_embedding_model_is_tried_with_an_embedding():
    text = banner(replace(CARD, kv_cache_tokens=0, embeds=True), "127.0.0.1", 8000)
    assert "/v1/embeddings" in text
    assert "chat" not in text
    assert "KV cache" not in text
