import pytest
from fathom.core.errors import StartupError
from fathom.settings import load, names


def test_the_strongest_source_wins(monkeypatch, tmp_path):
    config = tmp_path / "fathom.toml"
    config.write_text("[http]\nport = 1\nhost = 'a'\nmax_body_bytes = 2000\n")
    monkeypatch.setenv("FATHOM_HTTP__PORT", "2")
    monkeypatch.setenv("FATHOM_HTTP__HOST", "b")
    http = load({"http.port": 3}, config).http
    assert (http.port, http.host, http.max_body_bytes, http.shutdown_grace) == (3, "b", 2000, 30.0)


def test_the_file_under_home_is_read_by_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    (tmp_path / "fathom.toml").write_text("[engine]\nseed = 5\n")
    assert load().engine.seed == 5


def test_home_may_be_short(monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", "~/models")
    assert "~" not in str(load().home)
    assert load().home.is_absolute()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"engine.max_modl_len": 5}, "Did you mean 'engine.max_model_len'"),
        ({"http.port": "many"}, "http.port"),
        ({"http.port": 70000}, "less than or equal to 65535"),
        ({"engine.compile": "maybe"}, "engine.compile"),
    ],
)
def test_a_bad_setting_is_one_line(overrides, says):
    with pytest.raises(StartupError) as refused:
        load(overrides)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_misspelt_variable_fails_and_names_the_nearest(monkeypatch):
    monkeypatch.setenv("FATHOM_HTTP__PROT", "1")
    with pytest.raises(StartupError, match="Did you mean 'FATHOM_HTTP__PORT'"):
        load()


def test_the_key_that_a_chat_sends_is_no_setting_and_no_mistake(monkeypatch):
    monkeypatch.setenv("FATHOM_API_KEY", "fk-x")
    assert "fk-x" not in str(load())


def test_a_config_file_that_is_no_toml_or_not_there_is_one_line(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("[")
    for path in (bad, tmp_path / "missing.toml"):
        with pytest.raises(StartupError, match=path.name):
            load({}, path)


def test_tables_take_any_name():
    settings = load({"engine.args.block_size": 32, "engine.lora.poet": "/x"})
    assert settings.engine.args == {"block_size": 32}
    assert settings.engine.lora == {"poet": "/x"}


def test_every_setting_has_a_description():
    assert all(field.description for field in names().values())


def test_settings_do_not_change_after_they_are_read():
    with pytest.raises(ValueError, match="frozen"):
        load().http.port = 1
