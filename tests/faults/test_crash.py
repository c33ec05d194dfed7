"""The server is killed in the middle of stored and background responses. Nothing that a client was told of is lost."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.databases import postgres
from tests.faults.asked import Asked, the_done, the_rest
from tests.responses_stream import ENDS
from tests.running import Server, gone, start_server, until

Json = dict[str, Any]

MADE = {"completed", "incomplete"}  # the second where the model goes on when its tokens are used up
FEW_SLOTS, MORE_SLOTS = "2", "8"


class Watch:
    """Seconds from one thing to the next."""

    def __init__(self) -> None:
        self._since, self._passed = time.monotonic(), list[str]()

    def pass_(self, what: str) -> None:
        now = time.monotonic()
        self._passed.append(f"{what} after {now - self._since:.0f} s")
        self._since = now

    def __str__(self) -> str:
        return ", ".join(self._passed)


@dataclass(frozen=True)
class Row:
    """What the database knows of a response. `items`: of its output."""

    id: str
    status: str
    background: bool
    begun: bool
    owned: bool
    attempts: int
    items: int

    @property
    def expected(self) -> set[str]:
        """What it has become when the next server is done with it."""
        if self.status not in ("queued", "in_progress"):
            return {self.status}
        again = self.status == "queued" or (self.background and not self.begun)
        return MADE if again else {"failed"}


def serving(folder: Path, name: str, url: str, slots: str) -> Server:
    settings = {"FATHOM_STORE__URL": url, "FATHOM_STORE__BACKGROUND_SLOTS": slots}
    return start_server(folder / name, "--kv-cache-memory", "0.25", "--max-model-len", "2048", **settings)


def body_of(server: Server, asked: Asked) -> Json:
    response = server.client.get(f"/v1/responses/{asked.id}")
    assert response.status_code == 200, response.text
    body: Json = response.json()
    return body


def rows(url: str) -> list[Row]:
    """Straight from the database."""
    flags = ", ".join(f"CASE WHEN {flag} THEN 1 ELSE 0 END" for flag in ("background", "begun", "owner IS NOT NULL"))
    items = "SELECT count(*) FROM response_items WHERE response_id = id AND direction = 'output'"
    query = f"SELECT id, status, {flags}, attempts, ({items}) FROM responses ORDER BY id"
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.partition(":///")[2])
        found = [tuple(map(str, row)) for row in connection.execute(query)]
        connection.close()
    else:
        lines = postgres().sql(query, url.rpartition("/")[2])
        found = [tuple(line.split("|")) for line in lines.splitlines()]
    return [
        Row(id, status, background == "1", begun == "1", owned == "1", int(attempts), int(items))
        for id, status, background, begun, owned, attempts, items in found
    ]


@pytest.mark.timeout(290)
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, database_url: str) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(1 << 32))
    chance = random.Random(seed)
    watch = Watch()
    first = serving(tmp_path, "first", database_url, FEW_SLOTS)
    try:
        first.wait_ready()
        watch.pass_("started")
        done = the_done()
        finish(first, done)
        begun, *others = the_rest()
        chance.shuffle(others)
        rest = [begun, *others]
        threads = ask_all(first, rest, chance)
        processes = psutil.Process(first.process.pid).children(recursive=True)
        until(lambda: len(begun.events) > 4, "one of the background has begun")
        time.sleep(chance.uniform(0, 2))
    finally:
        first.kill()
        watch.pass_("killed")
    for thread in threads:
        thread.join(10)
    until(lambda: gone(processes), "the engine ends with its server")
    left = {row.id: row for row in rows(database_url)}
    asked = done + rest
    acknowledged = [each for each in asked if each.id]
    assert {each.id for each in acknowledged} <= left.keys()
    assert {"queued", "in_progress"} < {row.status for row in left.values()}, "a kill in the middle"

    second = serving(tmp_path, "second", database_url, MORE_SLOTS)
    try:
        second.wait_ready()
        watch.pass_("ready again")
        bodies = [body_of(second, each) for each in acknowledged]
        assert all(second.client.get(f"/v1/responses/{each.id}").content == each.before for each in done)
        until(lambda: not unended(database_url), "everything has ended", 120)
        watch.pass_("all ended")
        for each in acknowledged:
            check_end(second, each, left[str(each.id)])
            check_resumed(second, each, chance)
        ends = rows(database_url)
        watch.pass_("all checked")
        print(f"\nkilled on {database_url.partition('+')[0]}, FAULTS_SEED={seed}; {watch}")
        print_scorecard(asked, left, bodies, ends)
    finally:
        status = second.stop()
    assert status == 0
    check_rows(ends, left)
    check_with_the_command(database_url)


def finish(server: Server, asked: list[Asked]) -> None:
    for each in asked:
        each.ask(server.url)
        until(lambda each=each: body_of(server, each)["status"] in MADE, "it ends")
        each.before = server.client.get(f"/v1/responses/{each.id}").content


def ask_all(server: Server, asked: list[Asked], chance: random.Random) -> list[threading.Thread]:
    threads = []
    for each in asked:
        threads.append(threading.Thread(target=each.ask, args=(server.url,), daemon=True))
        threads[-1].start()
        time.sleep(chance.uniform(0, 0.1))
    return threads


def unended(url: str) -> list[Row]:
    return [row for row in rows(url) if row.status in ("queued", "in_progress")]


def check_end(server: Server, asked: Asked, left: Row) -> None:
    body = body_of(server, asked)
    assert body["status"] in left.expected, f"{asked.kind}: {body['status']}, and it was {left} when the server died"
    if body["status"] == "failed":
        assert "server stopped" in body["error"]["message"]
    else:
        assert body["output"]


def check_resumed(server: Server, asked: Asked, chance: random.Random) -> None:
    """From any event that the client saw, its stream goes on to the end; and nothing that it saw is told otherwise."""
    seen = {event["sequence_number"]: event for event in asked.events}
    numbers = sorted(seen)[:-1] if asked.before else sorted(seen)
    after = chance.choice(numbers or [0])
    whole = stream_of(server, asked, None)
    resumed = stream_of(server, asked, after)
    assert resumed == [event for event in whole if event["sequence_number"] > after]
    assert resumed[-1]["type"] in ENDS
    assert [event["type"] in ENDS for event in whole].count(True) == 1
    for event in whole:
        assert seen.get(event["sequence_number"], event) == event


def stream_of(server: Server, asked: Asked, after: int | None) -> list[Json]:
    query = {"stream": "true"} if after is None else {"stream": "true", "starting_after": str(after)}
    response = httpx.get(f"{server.url}/v1/responses/{asked.id}", params=query)  # unchecked: it may have a hole
    assert response.status_code == 200, response.text
    lines = response.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def check_rows(ends: list[Row], left: dict[str, Row]) -> None:
    """Also those whose ids never reached a client."""
    for row in ends:
        assert row.status in left[row.id].expected
        assert not row.owned
        assert row.items > 0 or row.status == "failed"
        assert row.attempts <= 2


def check_with_the_command(url: str) -> None:
    environment = {**os.environ, "FATHOM_STORE__URL": url}
    command = [sys.executable, "-m", "fathom", "db", "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def print_scorecard(asked: list[Asked], left: dict[str, Row], bodies: list[Json], ends: list[Row]) -> None:
    def count(words: Iterable[str]) -> str:
        return ", ".join(f"{many} {word}" for word, many in sorted(Counter(words).items()))

    half = sum(row.begun for row in left.values() if row.status == "in_progress")
    print(f"  asked         {count(each.kind for each in asked)}")
    print(f"  acknowledged  {sum(bool(each.id) for each in asked)} of {len(asked)}; {len(left)} rows")
    print(f"  left behind   {count(row.status for row in left.values())}; {half} half done")
    print(f"  once ready    {count(body['status'] for body in bodies)}")
    print(f"  in the end    {count(row.status for row in ends)}")
