"""Requests that schemathesis makes from the server's own OpenAPI document: what it allows, and what it forbids."""

from typing import Any

import pytest
import schemathesis
from fathom.app import create_app
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import Settings
from hypothesis import HealthCheck, given, settings

from tests.hostile.conftest import Keyed
from tests.hostile.runner import judge

CLEAR = frozenset(range(200, 500))
_PATIENCE = 20.0


def _takes(operation: Any) -> bool:
    """Whether anything of it can be wrong."""
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


DOCUMENT = schemathesis.openapi.from_dict(create_app(Settings(), ScriptedEngine()).openapi())
OPERATIONS = {found.ok().label: found.ok() for found in DOCUMENT.get_all_operations()}
GOOD, BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(label, mode) for label, each in OPERATIONS.items() for mode in (GOOD, BAD) if mode is GOOD or _takes(each)]


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_whatever_the_document_gives_rise_to_is_answered(
    label: str, mode: schemathesis.GenerationMode, keyed: Keyed
) -> None:
    target, headers = keyed
    cases = OPERATIONS[label].as_strategy(generation_mode=mode)
    with target.abused(f"{label}, {mode}") as score:

        @given(cases)
        @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def try_all(case: schemathesis.Case) -> None:
            score.inputs += 1
            answer = case.call(base_url=target.server.url, headers=headers["admin"], timeout=_PATIENCE)
            kind = answer.headers.get("content-type", [""])[0]
            judge(score, case.as_curl_command(), case.formatted_path, CLEAR, answer.status_code, kind, answer.text)

        try_all()
