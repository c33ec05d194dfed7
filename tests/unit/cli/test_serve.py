import socket

import pytest
from fathom.cli.serve import _PARAMETERS, _settings
from fathom.cli.server import listen
from fathom.core.errors import StartupError
from fathom.settings import HttpSettings


def settings(**parameters):
    empty = dict.fromkeys([*_PARAMETERS, "lora", "set_", "config"])
    return _settings(empty | parameters)


def test_options_become_settings():
    made = settings(model="m", port=1, kv_cache_memory=2.5, thinking_budget=9, lora=["poet=/x"])
    assert (made.model.model, made.http.port, made.engine.kv_cache_memory) == ("m", 1, 2.5)
    assert (made.reasoning.default_budget, made.engine.lora) == (9, {"poet": "/x"})


def test_set_takes_toml_and_plain_text():
    made = settings(
        set_=["engine.seed=4", "engine.threads=0-3", "engine.args.enable_lora=true", "engine.dtype=float32"]
    )
    assert (made.engine.seed, made.engine.threads, made.engine.dtype) == (4, "0-3", "float32")
    assert made.engine.args == {"enable_lora": True}


def test_a_number_where_text_is_meant_is_text():
    assert settings(set_=["engine.threads=1"]).engine.threads == "1"


@pytest.mark.parametrize("pair", ["engine.seed", "=4", "engine.seed="])
def test_a_pair_without_a_value_is_refused(pair):
    with pytest.raises(StartupError, match="NAME=VALUE"):
        settings(set_=[pair])


def test_a_taken_port_is_refused_with_the_fix():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartupError, match="--port"):
            listen(HttpSettings(port=taken.getsockname()[1]))


def test_port_0_takes_a_free_one():
    with listen(HttpSettings(port=0)) as listening:
        assert listening.getsockname()[1] > 0
