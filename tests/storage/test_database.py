import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.errors import CommandRefused, StorageUnavailable
from streampai.storage import Storage
from streampai.storage.connection import connect
from streampai.storage.database import Database
from streampai.telemetry.events import StorageFailed, StorageWritten

from .conftest import Spy

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, blob BLOB) STRICT")
    connection.close()
    return path


@pytest.fixture
async def database(path: Path, spy: Spy) -> AsyncIterator[Database]:
    database = Database(path, telemetry=spy.telemetry)
    yield database
    await database.aclose()


def insert(number: int, size: int = 0) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?, zeroblob(?))", (number, size))
        return number

    return work


def stored(path: Path) -> list[int]:
    """What another program finds in the file."""
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]
    finally:
        connection.close()


async def read_numbers(database: Database) -> list[int]:
    return await database.read(
        lambda connection: [row[0] for row in connection.execute("SELECT number FROM numbers")]
    )


class Held:
    """Keeps the writer busy until it is let go, so that what follows becomes one batch."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.busy = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self._token.run_sync_soon(self.busy.set)
        assert self._go.wait(10)

    def let_go(self) -> None:
        self._go.set()


async def test_a_write_gives_its_value_and_is_in_the_file(database: Database, path: Path) -> None:
    assert await database.write(insert(7)) == 7
    assert stored(path) == [7]


async def test_a_read_sees_every_acknowledged_write(database: Database) -> None:
    for number in range(20):
        await database.write(insert(number))
        assert len(await read_numbers(database)) == number + 1


async def test_what_waits_is_committed_as_one_transaction(
    database: Database, nursery: trio.Nursery, spy: Spy
) -> None:
    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    async with trio.open_nursery() as writers:
        for number in range(64):
            writers.start_soon(database.write, insert(number))
        await wait_all_tasks_blocked()
        held.let_go()
    assert sorted(await read_numbers(database)) == list(range(64))
    assert [event.writes for event in spy.of(StorageWritten)] == [1, 64]  # type: ignore[attr-defined]


async def test_a_job_that_fails_undoes_only_its_own_changes(
    database: Database, nursery: trio.Nursery, path: Path
) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        insert(100)(connection)
        raise CommandRefused(code="already_streaming")

    outcomes: dict[Work, object] = {}

    async def attempt(work: Work) -> None:
        try:
            outcomes[work] = await database.write(work)
        except (CommandRefused, sqlite3.IntegrityError) as error:
            outcomes[work] = type(error)

    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    async with trio.open_nursery() as writers:
        jobs = (insert(1), refuse, insert(1), insert(2))
        for work in jobs:
            writers.start_soon(attempt, work)
            await wait_all_tasks_blocked()
        held.let_go()
    assert [outcomes[work] for work in jobs] == [1, CommandRefused, sqlite3.IntegrityError, 2]
    assert stored(path) == [1, 2]


async def test_cancelling_abandons_the_wait_and_not_the_write(
    database: Database, nursery: trio.Nursery, path: Path
) -> None:
    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await database.write(insert(1))
    assert scope.cancelled_caught
    held.let_go()
    await database.write(insert(2))
    assert stored(path) == [1, 2]


async def test_a_read_sees_the_writes_that_its_callers_former_life_abandoned(
    database: Database, nursery: trio.Nursery
) -> None:
    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await database.write(insert(1))
    nursery.start_soon(let_go_when_blocked, held)
    assert await read_numbers(database) == [1]


async def let_go_when_blocked(held: Held) -> None:
    await wait_all_tasks_blocked()
    held.let_go()


async def cancel_when_blocked(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_full_queue_makes_writers_wait_and_a_cancelled_one_leaves_no_trace(
    path: Path, spy: Spy, nursery: trio.Nursery
) -> None:
    database = Database(path, telemetry=spy.telemetry, capacity=2)
    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    nursery.start_soon(database.write, insert(1))
    await wait_all_tasks_blocked()
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await database.write(insert(2))
    assert scope.cancelled_caught
    held.let_go()
    await database.write(insert(3))
    await database.aclose()
    assert stored(path) == [1, 3]


async def test_closing_carries_out_all_that_was_handed_over(
    path: Path, spy: Spy, nursery: trio.Nursery
) -> None:
    database = Database(path, telemetry=spy.telemetry, batch=10)
    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    async with trio.open_nursery() as writers:
        for number in range(64):
            writers.start_soon(database.write, insert(number))
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            held.let_go()
            await database.aclose()
    assert stored(path) == list(range(64))
    written = [event.writes for event in spy.of(StorageWritten)]  # type: ignore[attr-defined]
    assert sum(written) == 65 and max(written) == 10
    assert not path.with_name("test.db-wal").exists()


async def test_a_closed_store_refuses_with_the_code_shutting_down(path: Path, spy: Spy) -> None:
    database = Database(path, telemetry=spy.telemetry)
    await database.aclose()
    for call in (database.write, database.read):
        with pytest.raises(StorageUnavailable) as caught:
            await call(insert(1))
        assert caught.value.code == "shutting_down"
    assert stored(path) == []


async def limit_pages(database: Database, pages: int) -> None:
    await database.write(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    )


async def test_a_full_disk_fails_the_whole_batch_and_is_told_once_on_loss_and_once_on_return(
    database: Database, nursery: trio.Nursery, path: Path, spy: Spy
) -> None:
    await database.write(insert(1))
    await limit_pages(database, 8)
    outcomes: list[str] = []

    async def attempt(work: Work) -> None:
        try:
            await database.write(work)
            outcomes.append("stored")
        except StorageUnavailable as error:
            outcomes.append(error.code)
            assert error.retryable

    held = Held()
    nursery.start_soon(database.write, held)
    await held.busy.wait()
    async with trio.open_nursery() as writers:
        writers.start_soon(attempt, insert(2))
        await wait_all_tasks_blocked()
        writers.start_soon(attempt, insert(3, size=1_000_000))
        await wait_all_tasks_blocked()
        held.let_go()
    with pytest.raises(StorageUnavailable, match="full"):
        await database.write(insert(4, size=1_000_000))
    assert outcomes == ["storage_unavailable"] * 2
    assert "full" in database.trouble
    assert stored(path) == [1]
    assert len(spy.of(StorageFailed)) == 1

    await limit_pages(database, 100_000)
    await database.write(insert(3, size=1_000_000))
    assert database.trouble == ""
    assert stored(path) == [1, 3]
    assert [event.reason for event in spy.of(StorageFailed)] == [  # type: ignore[attr-defined]
        "database or disk is full",
        "the store can be written again",
    ]


async def test_a_connection_that_turned_read_only_fails_its_batch_and_is_opened_anew(
    database: Database, path: Path
) -> None:
    await database.write(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(StorageUnavailable, match="readonly"):
        await database.write(insert(1))
    await database.write(insert(2))
    assert stored(path) == [2]


def move(path: Path, target: Path) -> None:
    assert not target.exists()
    path.rename(target)


async def test_a_file_that_vanished_is_not_made_again_and_nothing_is_acknowledged(
    database: Database, path: Path
) -> None:
    await database.write(insert(1))
    assert await read_numbers(database) == [1]
    aside = path.with_name("aside.db")
    move(path, aside)
    with pytest.raises(StorageUnavailable):
        await database.write(insert(2))
    with pytest.raises(StorageUnavailable):
        await read_numbers(database)
    move(aside, path)
    await database.write(insert(3))
    assert 2 not in await read_numbers(database)


async def test_a_write_waits_for_another_process_to_finish_its_own(
    database: Database, path: Path, nursery: trio.Nursery
) -> None:
    other = connect(path, "rw")
    other.execute("BEGIN IMMEDIATE")
    insert(1)(other)

    async def commit_later() -> None:
        await trio.sleep(0.1)
        other.execute("COMMIT")
        other.close()

    nursery.start_soon(commit_later)
    await database.write(insert(2))
    assert stored(path) == [1, 2]


async def test_a_read_stands_on_one_snapshot(database: Database) -> None:
    await database.write(insert(1))
    between = trio.Event()
    written = threading.Event()
    token = trio.lowlevel.current_trio_token()

    def look_twice(connection: sqlite3.Connection) -> tuple[int, int]:
        (first,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
        token.run_sync_soon(between.set)
        assert written.wait(10)
        (second,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
        return first, second

    seen: list[tuple[int, int]] = []

    async def look() -> None:
        seen.append(await database.read(look_twice))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await between.wait()
        await database.write(insert(2))
        written.set()
    assert seen == [(1, 1)]


async def test_a_reader_cannot_write(database: Database, path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="readonly"):
        await database.read(insert(1))
    assert stored(path) == []


async def test_a_fault_of_the_writer_reaches_who_waits_and_the_writer_lives_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("streampai.storage.writer.connect", broken)
        with pytest.raises(ZeroDivisionError):
            await database.write(insert(1))
    await database.write(insert(2))
    assert stored(path) == [2]


async def test_a_listener_that_raises_is_the_emitters_fault_and_not_the_end(
    database: Database, path: Path, spy: Spy
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    spy.telemetry.attach(fail)
    with pytest.raises(ZeroDivisionError):
        await database.write(insert(1))
    spy.telemetry.detach(fail)
    await database.write(insert(2))
    assert stored(path) == [1, 2]


async def test_a_ping_is_a_durable_write(storage: Storage) -> None:
    await storage.ping()
    await storage.ping()
    connection = sqlite3.connect(storage.path)
    assert connection.execute("SELECT count(*) FROM pulse").fetchone() == (1,)
    connection.close()
