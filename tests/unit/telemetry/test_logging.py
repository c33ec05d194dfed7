import json
import logging as stdlib

import pytest
import structlog
from fathom.settings import TelemetrySettings
from fathom.telemetry import logging


@pytest.fixture
def logged(capsys):
    """Returns what was logged; the process's own logging is put back afterwards."""
    root = stdlib.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_carry_the_fields_and_the_level(logged):
    logging.configure(TelemetrySettings(log_format="json"))
    structlog.get_logger().info("request", status=200)
    stdlib.getLogger("some.library").warning("careful %s", "now")
    ours, theirs = (json.loads(line) for line in logged().splitlines())
    assert (ours["event"], ours["status"], ours["level"]) == ("request", 200, "info")
    assert (theirs["event"], theirs["level"]) == ("careful now", "warning")
    assert ours["timestamp"].endswith("Z")


def test_the_console_form_is_one_readable_line(logged):
    logging.configure(TelemetrySettings(log_format="console"))
    structlog.get_logger().info("request", status=200)
    line = logged()
    assert "request status=200" in line
    assert not line.startswith("{")


def test_lines_below_the_level_are_left_out(logged):
    logging.configure(TelemetrySettings(log_format="json", log_level="warning"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    lines = logged()
    assert "quiet" not in lines
    assert "loud" in lines


def test_vllms_lines_go_to_a_file_and_on_request_to_stderr_too(tmp_path):
    config, log = logging.engine_log_config(tmp_path / "logs", "engine-1", TelemetrySettings())
    written = json.loads(config.read_text())
    assert log == tmp_path / "logs" / "engine-1.log"
    assert set(written["handlers"]) == {"file"}
    config, _ = logging.engine_log_config(tmp_path, "engine-1", TelemetrySettings(engine_log_level="error"))
    assert set(json.loads(config.read_text())["handlers"]) == {"file", "stderr"}


def test_what_migrations_say_of_their_tool_is_left_out(logged):
    logging.configure(TelemetrySettings(log_format="json"))
    stdlib.getLogger("alembic.runtime.migration").info("Will assume non-transactional DDL.")
    assert logged() == ""
