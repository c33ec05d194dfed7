"""Sends the cases of a table, and says what is wrong with the answers."""

import json
import re
import reprlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.checked import check_response
from tests.hostile.score import Score
from tests.hostile.target import Target

Json = dict[str, Any]

BAD = frozenset({400})
ANY = frozenset({200, 400, 404})

_MOST_ERROR = 4096  # bytes
_INSIDE = re.compile(r"Traceback|File \"|site-packages| object at 0x|pydantic")  # what no error may say
_AT_ONCE = 6


@dataclass(frozen=True)
class Case:
    """A request, and the statuses that it may be answered with."""

    name: str
    path: str
    body: bytes
    expects: frozenset[int] = BAD
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    method: str = "POST"
    patience: float = 20.0  # seconds for the answer


def fields(target: Target, path: str, name: str = "", expects: frozenset[int] = BAD, **given: Any) -> Case:
    """The least body of a route, with these fields in it."""
    body = json.dumps({**target.dialects[path], **given}).encode()
    return Case(name or reprlib.repr(given), path, body, expects)


def send_all(target: Target, cases: Iterable[Case], score: Score, *, at_once: int = _AT_ONCE) -> None:
    limits = httpx.Limits(max_connections=at_once)
    client = httpx.Client(base_url=target.server.url, limits=limits)
    with client, ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda case: _send(client, case, score), cases))


def _send(client: httpx.Client, case: Case, score: Score) -> None:
    score.inputs += 1
    try:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in case.headers.items()]
        answer = client.request(case.method, case.path, content=case.body, headers=headers, timeout=case.patience)
    except httpx.TimeoutException:
        score.hangs.append(f"{case.path} {case.name}: no answer")
    except httpx.HTTPError as error:
        score.unclear.append(f"{case.path} {case.name}: {error!r}")
    else:
        kind = answer.headers.get("content-type", "")
        judge(score, f"{case.path} {case.name}", case.path, case.expects, answer.status_code, kind, answer.text)


def judge(
    score: Score, name: str, path: str, expects: frozenset[int], status: int, content_type: str, text: str
) -> None:
    if status >= 500:
        return score.crashes.append(f"{name}: {status} {text[:300]}")
    if status not in expects:
        return score.unclear.append(f"{name}: {status} {text[:300]}")
    if status >= 400 and (len(text) > _MOST_ERROR or _INSIDE.search(text)):
        return score.unclear.append(f"{name}: an error of {len(text)} characters: {text[:300]}")
    try:
        check_response(path if path.startswith("/v1/") or status < 400 else "/v1/models", status, content_type, text)
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        score.unclear.append(f"{name}: {status}, {wrong!r:.300}: {text[:300]}")
    return None
