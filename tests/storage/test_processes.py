"""More than one process, and processes that are killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import trio

from streampai.storage import EventRow, Storage
from streampai.storage.secretbox import new_key

from .conftest import OpenStore

# Tells on its output what was acknowledged to it, and nothing else.
WRITER = """
import sys, trio
from datetime import UTC, datetime
from pathlib import Path
from streampai.settings import Secret, StorageSettings
from streampai.storage import EventRow, open_storage

async def write(storage, user):
    topic, offset = f"platform:twitch:{user}", 0
    while True:
        offset += 1
        await storage.events.append(user, None, [EventRow(
            topic=topic, offset=offset, sequence=offset, event_id=f"twitch:{offset}",
            kind="test", occurred_at=datetime.now(UTC), payload=b"x" * 200)])
        sys.stdout.write(f"{user} {offset}\\n")
        sys.stdout.flush()

async def main():
    settings = StorageSettings(data=Path(sys.argv[1]), key=Secret(sys.argv[2]))
    async with open_storage(settings) as storage, trio.open_nursery() as nursery:
        for user in map(int, sys.argv[3:]):
            nursery.start_soon(write, storage, user)

trio.run(main)
"""


@contextmanager
def process(program: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as running:
        try:
            yield running
        finally:
            running.kill()


async def test_every_acknowledged_write_survives_sigkill(
    open_store: OpenStore, tmp_path: Path
) -> None:
    key = new_key().reveal()
    async with open_store(key) as storage:
        users = [(await storage.users.add(f"user{n}", "correct horse")).id for n in range(8)]

    def kill_in_the_middle() -> list[str]:
        with process(WRITER, tmp_path / "data", key, *users) as writer:
            assert writer.stdout is not None
            seen = [writer.stdout.readline() for _ in range(400)]
            writer.send_signal(signal.SIGKILL)
            return seen + writer.stdout.readlines()

    lines = await trio.to_thread.run_sync(kill_in_the_middle)
    acknowledged = dict.fromkeys(users, 0)
    for line in lines:
        # The last line may have been cut off by the signal.
        if line.endswith("\n"):
            user, offset = map(int, line.split())
            acknowledged[user] = offset
    assert sum(acknowledged.values()) >= 400
    async with open_store(key) as storage:
        for user, offset in acknowledged.items():
            # What was written and not yet told may be there as well, one at most.
            stored = await storage.events.last(f"platform:twitch:{user}", 1_000_000)
            assert [number for number, _ in stored] == list(range(1, len(stored) + 1))
            assert offset <= len(stored) <= offset + 1
            assert (await storage.events.position(f"platform:twitch:{user}"))[1] == len(stored)


# A limit on the size of files stands for a disk that has no room: the system refuses.
SMALL_DISK = """
import resource, sys, trio
from pathlib import Path
from streampai.errors import StorageUnavailable
from streampai.settings import Secret, StorageSettings
from streampai.storage import open_storage
from streampai.telemetry import Telemetry
from streampai.telemetry.events import StorageFailed

async def main():
    told = []
    telemetry = Telemetry()
    telemetry.attach(lambda event: told.append(event.reason), StorageFailed)
    settings = StorageSettings(data=Path(sys.argv[1]), key=Secret(sys.argv[2]))
    async with open_storage(settings, telemetry=telemetry) as storage:
        user = (await storage.users.all())[0].id
        written = failed = 0
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (storage.path.stat().st_size, most))
        while failed < 3:
            try:
                await storage.commands.accept(f"{written}-{'x' * 2000}", user, "test")
                written += 1
            except StorageUnavailable:
                failed += 1
        assert storage.trouble
        assert len(await storage.commands.unfinished(user)) == written
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await storage.commands.accept("after", user, "test")
        assert not storage.trouble
    assert len(told) == 2, told
    print(written)

trio.run(main)
"""


async def test_a_disk_without_room_loses_nothing_acknowledged_and_may_recover(
    open_store: OpenStore, tmp_path: Path
) -> None:
    key = new_key().reveal()
    async with open_store(key) as storage:
        user = await storage.users.add("demo", "correct horse")
    finished = await trio.run_process(
        [sys.executable, "-c", SMALL_DISK, str(tmp_path / "data"), key], capture_stdout=True
    )
    written = int(finished.stdout)
    assert written > 0
    async with open_store(key) as storage:
        assert len(await storage.commands.unfinished(user.id)) == written + 1


ADDER = """
import sys, trio
from pathlib import Path
from streampai.settings import Secret, StorageSettings
from streampai.storage import Argon2Parameters, open_storage

async def main():
    settings = StorageSettings(data=Path(sys.argv[1]), key=Secret(""))
    async with open_storage(settings, argon2=Argon2Parameters(time_cost=1, memory=8)) as storage:
        for number in range(50):
            await storage.users.add(f"{sys.argv[2]}{number}", "correct horse")

trio.run(main)
"""


async def append(storage: Storage, user: int, count: int) -> None:
    for offset in range(1, count + 1):
        row = EventRow(
            topic=f"platform:twitch:{user}",
            offset=offset,
            sequence=offset,
            event_id=None,
            kind="test",
            occurred_at=datetime.now(UTC),
            payload=b"x",
        )
        await storage.events.append(user, None, [row])


async def test_another_process_may_write_while_the_daemon_does(
    storage: Storage, tmp_path: Path
) -> None:
    user = await storage.users.add("demo", "correct horse")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append, storage, user.id, 200)
        await trio.run_process([sys.executable, "-c", ADDER, str(tmp_path / "data"), "added"])
    assert len(await storage.users.all()) == 51
    assert await storage.events.last_sequence(user.id) == 200
    assert storage.trouble == ""


async def test_processes_that_start_together_make_one_store(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(
                trio.run_process, [sys.executable, "-c", ADDER, str(tmp_path / "data"), name]
            )
    async with open_store() as storage:
        assert len(await storage.users.all()) == 150
