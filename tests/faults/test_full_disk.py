"""SQLite finds no room to grow, and says so itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from tests.faults.clients import check_answer, check_kept, create, fetched, problems, serving

pytestmark = pytest.mark.usefixtures("hurry")

LARGE = "word " * 700
PLENTY, NO_MORE = 1 << 30, 1  # SQLite takes less than there is for as much as there is


@dataclass
class Disk:
    """pages: how many a database may have."""

    pages: int = PLENTY

    def limit(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self.pages}")


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    event.listen(Engine, "begin", disk.limit)
    yield disk
    event.remove(Engine, "begin", disk.limit)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/fathom.db"


def test_on_a_full_disk_storing_calls_are_refused_and_others_answered(url: str, disk: Disk) -> None:
    with serving(url) as client:
        before = create(client)
        disk.pages = NO_MORE
        for fields in ({}, {"stream": True}, {"background": True}, {"previous_response_id": before.id}):
            answer = create(client, LARGE, **fields)
            check_answer(answer, "store_full")
            assert answer.status == 507
        assert create(client, LARGE, store=False).end == "completed"
        assert fetched(client, before.id)["status"] == "completed"
        assert client.get("/readyz").status_code == 200
        assert problems(url) == []
        disk.pages = PLENTY
        after = create(client, LARGE)
        assert after.end == "completed"
        check_kept(client, after)
        assert problems(url) == []


@pytest.mark.parametrize("background", [False, True])
def test_a_stream_whose_end_finds_no_room_ends_with_an_error_and_is_stored_later(
    url: str, disk: Disk, background: bool
) -> None:
    def fill() -> None:
        disk.pages = NO_MORE

    with serving(url, delay=0.001) as client:
        answer = create(client, LARGE, fill, stream=True, background=background)
        assert answer.error
        assert not answer.end
        check_answer(answer, "store_full")
        assert create(client, store=False).end == "completed"
        disk.pages = PLENTY
        check_kept(client, answer)
        assert fetched(client, answer.id)["status"] == "completed"
        assert problems(url) == []
