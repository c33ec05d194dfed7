import pytest

from tests.hostile import fields
from tests.hostile.conftest import dialects
from tests.hostile.runner import send_all
from tests.hostile.target import Target


@pytest.mark.parametrize("path", dialects(""))
def test_no_field_takes_a_value_that_breaks_something(target: Target, path: str) -> None:
    document = target.server.client.get("/openapi.json").json()
    with target.abused(path) as score:
        send_all(target, fields.matrix(target, document, path), score)
