import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from streampai.errors import SettingsError, StorageUnavailable
from streampai.settings import Secret
from streampai.storage import Storage, directory
from streampai.storage.directory import DataDirectory
from streampai.storage.migrations import MIGRATIONS, version
from streampai.storage.secretbox import new_key

from .conftest import OpenStore

NEXT = (*MIGRATIONS, "ALTER TABLE users ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_directory(data: Path) -> Iterator[Callable[..., DataDirectory]]:
    opened = []

    def open_it(migrations: tuple[str, ...] = tuple(MIGRATIONS)) -> DataDirectory:
        opened.append(DataDirectory(data))
        opened[-1].open(migrations)
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def query(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, values).fetchall()


async def test_only_the_owner_may_read_what_is_made(storage: Storage, data: Path) -> None:
    await storage.ping()
    assert mode(data) == 0o700
    names = {name: mode(data / name) for name in os.listdir(data)}
    assert names.keys() >= {"streampai.db", "streampai.db-wal", "key", "lock"}
    assert set(names.values()) == {0o600}


async def test_the_file_is_one_that_survives_power_cuts(storage: Storage) -> None:
    def settings(connection: sqlite3.Connection) -> list[object]:
        return [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    assert await storage.database.write(settings) == ["wal", 2, 1, 5000]


async def test_a_second_start_finds_the_same_key_and_the_same_data(open_store: OpenStore) -> None:
    async with open_store() as storage:
        await storage.users.add("demo", "correct horse")
    async with open_store() as storage:
        assert await storage.users.by_name("demo") is not None


async def test_an_orderly_end_leaves_one_whole_file(open_store: OpenStore, data: Path) -> None:
    async with open_store() as storage:
        await storage.users.add("demo", "correct horse")
        await storage.users.all()
    assert sorted(os.listdir(data)) == ["key", "lock", "streampai.db"]


async def test_a_wrong_key_is_refused_at_the_start(open_store: OpenStore) -> None:
    async with open_store(new_key().reveal()):
        pass
    with pytest.raises(SettingsError, match="STREAMPAI_KEY: key 1 is not the one"):
        async with open_store(new_key().reveal()):
            pass


async def test_a_newer_key_may_be_added_behind_the_old_one(open_store: OpenStore) -> None:
    old, new = new_key().reveal(), new_key().reveal()
    async with open_store(old):
        pass
    async with open_store(f"{old} {new}"):
        pass
    with pytest.raises(SettingsError, match="key 2 is not the one"):
        async with open_store(f"{old} {new_key().reveal()}"):
            pass


async def test_a_lost_key_file_is_not_replaced(open_store: OpenStore, data: Path) -> None:
    async with open_store():
        pass
    os.unlink(data / "key")
    with pytest.raises(SettingsError, match="key is missing"):
        async with open_store():
            pass
    assert "key" not in os.listdir(data)


async def test_a_key_file_that_others_may_read_is_refused(
    open_store: OpenStore, data: Path
) -> None:
    async with open_store():
        pass
    os.chmod(data / "key", 0o640)
    with pytest.raises(SettingsError, match="0600"):
        async with open_store():
            pass


async def test_a_configured_key_leaves_no_key_file(open_store: OpenStore, data: Path) -> None:
    async with open_store(new_key().reveal()):
        assert "key" not in os.listdir(data)


def test_a_store_with_data_is_migrated_and_a_copy_is_laid_beside_it(
    open_directory: Callable[..., DataDirectory],
) -> None:
    old = open_directory()
    query(old.database, "INSERT INTO users VALUES (1, 'demo', '', 0, 0)")
    old.close()
    new = open_directory(NEXT)
    assert query(new.database, "SELECT name, colour FROM users") == [("demo", "green")]
    assert query(new.database, "PRAGMA user_version") == [(len(NEXT),)]
    backup = new.path / f"streampai.before-version-{len(NEXT)}.db"
    assert mode(backup) == 0o600
    assert query(backup, "SELECT name FROM users") == [("demo",)]
    assert query(backup, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert query(backup, "PRAGMA integrity_check") == [("ok",)]
    assert not list(new.path.glob("*.unfinished"))


def test_a_new_store_needs_no_copy(open_directory: Callable[..., DataDirectory]) -> None:
    assert not list(open_directory().path.glob("*before*"))


def test_a_step_that_fails_leaves_the_store_as_it_was(
    open_directory: Callable[..., DataDirectory],
) -> None:
    old = open_directory()
    query(old.database, "INSERT INTO users VALUES (1, 'demo', '', 0, 0)")
    old.close()
    broken = (*NEXT, "DROP TABLE users; DROP TABLE nothing_of_that_name")
    with pytest.raises(sqlite3.OperationalError, match="nothing_of_that_name"):
        open_directory(broken)
    assert query(old.database, "SELECT name, colour FROM users") == [("demo", "green")]
    assert query(old.database, "PRAGMA user_version") == [(len(NEXT),)]
    # And the lock was not kept: the next attempt is free to succeed.
    open_directory(NEXT)


def test_the_schema_does_not_change_under_a_running_process(
    open_directory: Callable[..., DataDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_PATIENCE", 0.05)
    running = open_directory()
    with pytest.raises(StorageUnavailable, match="another process"):
        open_directory(NEXT)
    running.close()
    assert query(open_directory(NEXT).database, "SELECT colour FROM users") == []


def test_several_processes_may_have_the_store_open(
    open_directory: Callable[..., DataDirectory],
) -> None:
    open_directory()
    open_directory()


def test_a_newer_programs_store_is_refused(open_directory: Callable[..., DataDirectory]) -> None:
    open_directory(NEXT).close()
    with pytest.raises(StorageUnavailable, match="newer"):
        open_directory()


def test_another_programs_database_is_refused(
    data: Path, open_directory: Callable[..., DataDirectory]
) -> None:
    data.mkdir()
    query(data / "streampai.db", "CREATE TABLE theirs (x)")
    with pytest.raises(StorageUnavailable, match="another program"):
        open_directory()
    assert query(data / "streampai.db", "PRAGMA user_version") == [(0,)]


async def test_a_file_that_is_no_database_is_refused(open_store: OpenStore, data: Path) -> None:
    os.mkdir(data)
    await trio.Path(data / "streampai.db").write_bytes(b"not a database, by far" * 100)
    with pytest.raises(StorageUnavailable, match="not a database"):
        async with open_store():
            pass


async def test_a_directory_that_cannot_be_made_is_refused(
    open_store: OpenStore, data: Path
) -> None:
    await trio.Path(data).write_text("a file stands in the way")
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        async with open_store():
            pass


# Root may write everywhere, so it becomes nobody, once everything is imported.
READ_ONLY = """
import os, sys, trio
from pathlib import Path
from streampai.errors import StorageUnavailable
from streampai.settings import Secret, StorageSettings
from streampai.storage import open_storage

async def main():
    try:
        async with open_storage(StorageSettings(data=Path(sys.argv[1]), key=Secret(sys.argv[2]))):
            print("opened")
    except StorageUnavailable as error:
        print("refused:", error.message)

os.setgroups([])
os.setgid(65534)
os.setuid(65534)
trio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("made_before", [False, True])
def test_a_directory_that_may_not_be_written_is_refused_with_its_name(made_before: bool) -> None:
    # Not below tmp_path: nobody else may enter there.
    data = Path(tempfile.mkdtemp())
    try:
        if made_before:
            DataDirectory(data).open(MIGRATIONS)
        for path in data.iterdir():
            path.chmod(0o644)
        data.chmod(0o755)
        finished = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(data), new_key().reveal()],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=30,
        )
    finally:
        shutil.rmtree(data)
    assert finished.stderr == ""
    assert re.match(rf"refused: {data}.* cannot be used: .*", finished.stdout), finished.stdout


def test_the_schema_is_described_table_by_table(
    open_directory: Callable[..., DataDirectory],
) -> None:
    from streampai.storage import migrations

    tables = query(
        open_directory().database,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    described = set(re.findall(r"^(\w+)  +\S", migrations.__doc__ or "", re.MULTILINE))
    assert described == {name for (name,) in tables}


def test_every_table_is_strict(open_directory: Callable[..., DataDirectory]) -> None:
    path = open_directory().database
    with closing(sqlite3.connect(path)) as connection:
        assert version(connection) == len(MIGRATIONS)
    lax = query(
        path, "SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE 'sqlite_%'"
    )
    assert lax == []


def test_a_key_is_never_shown(open_directory: Callable[..., DataDirectory]) -> None:
    opened = open_directory()
    box = opened.secret_box(Secret(""))
    key = opened.key_file.read_text().partition(":")[2].strip()
    assert key not in repr(box) + repr(vars(box)) + repr(vars(opened))
