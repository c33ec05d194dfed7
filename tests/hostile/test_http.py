from collections.abc import Callable, Iterator

import pytest

from tests.hostile import http_cases
from tests.hostile.target import Target
from tests.hostile.wire import try_bytes


@pytest.mark.parametrize("path", [http_cases.CHAT, http_cases.MESSAGES])
@pytest.mark.parametrize("table", [http_cases.bodies, http_cases.heads])
def test_what_two_servers_could_read_in_two_ways_is_refused(
    target: Target, path: str, table: Callable[[str], Iterator[http_cases.Row]]
) -> None:
    with target.abused(f"{table.__name__} of {path}") as score:
        for name, data, expects in table(path):
            try_bytes(target, score, name, data, expects, path)


def test_first_lines_and_paths_lead_nowhere_else(target: Target) -> None:
    with target.abused("lines") as score:
        for name, data, expects in http_cases.lines():
            path = http_cases.MESSAGES if "essages" in name else "/"
            try_bytes(target, score, name, data, expects, path)
