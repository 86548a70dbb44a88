import signal
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.cli.run import run_daemon
from streampai.errors import SettingsError, StorageUnavailable
from streampai.telemetry.systemd import Notifier


class Daemon:
    """An application that does nothing but say when it opens and closes."""

    def __init__(self, tmp_path):
        self.said = []
        self.serving = trio.Event()
        self.closing = trio.Event()
        self.storage_works = True
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(tmp_path / "notify"))
        self.notifier = Notifier(
            {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000"}
        )

    async def ping(self):
        await trio.lowlevel.checkpoint()
        self.said.append("ping")
        if not self.storage_works:
            raise StorageUnavailable

    @asynccontextmanager
    async def opening(self, telemetry):
        await self.open()
        self.said.append("opened")
        yield SimpleNamespace(
            urls=["http://127.0.0.1:1"],
            storage=SimpleNamespace(ping=self.ping),
            manager=SimpleNamespace(status=lambda: {"users": 3}),
        )
        await self.close()
        self.said.append("closed")

    async def open(self):
        await trio.lowlevel.checkpoint()

    async def close(self):
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def beside(self):
        self.said.append("beside begins")
        yield
        self.said.append("beside ends")

    async def when_serving(self, app):
        await trio.lowlevel.checkpoint()
        self.said.append("served")
        self.serving.set()

    async def run(self):
        await run_daemon(
            self.opening,
            beside=self.beside(),
            when_serving=self.when_serving,
            notifier=self.notifier,
        )
        self.said.append("returned")

    def heard(self):
        words = []
        while True:
            try:
                words.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return words


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path)
    with daemon.socket:
        yield daemon
    daemon.notifier.close()


@pytest.mark.row("X12")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(daemon, number):
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run)
            await daemon.serving.wait()
            signal.raise_signal(number)
    assert [word for word in daemon.said if word != "ping"] == [
        "beside begins",
        "opened",
        "served",
        "closed",
        "beside ends",
        "returned",
    ]
    heard = daemon.heard()
    assert heard[0] == "READY=1"
    assert heard[-1] == "STOPPING=1"


@pytest.mark.row("X12")
async def test_a_second_signal_does_not_wait_for_the_order(daemon):
    async def close():
        daemon.closing.set()
        await trio.sleep_forever()

    daemon.close = close
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run)
            await daemon.serving.wait()
            signal.raise_signal(signal.SIGTERM)
            await daemon.closing.wait()
            await wait_all_tasks_blocked()
            assert "returned" not in daemon.said
            signal.raise_signal(signal.SIGTERM)
    assert daemon.said[-1] == "returned"
    assert "closed" not in daemon.said


@pytest.mark.row("X12")
async def test_a_signal_before_it_serves_ends_it_at_once(daemon):
    opening = trio.Event()

    async def open():
        opening.set()
        await trio.sleep_forever()

    daemon.open = open
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run)
            await opening.wait()
            signal.raise_signal(signal.SIGTERM)
    assert daemon.said == ["beside begins", "returned"]
    assert daemon.heard() == ["STOPPING=1"]


async def test_what_fails_while_opening_is_raised(daemon):
    async def open():
        await trio.lowlevel.checkpoint()
        raise SettingsError("The port is taken.")

    daemon.open = open
    taken = pytest.RaisesExc(SettingsError, match="The port is taken")
    with pytest.RaisesGroup(taken, flatten_subgroups=True):
        await daemon.run()
    assert daemon.heard() == []


async def test_the_watchdog_is_fed_while_the_store_answers_even_if_it_cannot_write(daemon):
    daemon.storage_works = False
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run)
            heard = []
            while heard.count("WATCHDOG=1") < 3:
                await trio.lowlevel.wait_readable(daemon.socket)
                heard += daemon.heard()
            signal.raise_signal(signal.SIGTERM)
    assert "STATUS=http://127.0.0.1:1, 3 users" in heard


async def test_the_systemd_task_has_its_name(daemon):
    from streampai.cli.tree_picture import picture
    from streampai.telemetry.task_tree import task_tree

    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.run)
        await daemon.serving.wait()
        await wait_all_tasks_blocked(0.001)
        names = picture(task_tree())
        signal.raise_signal(signal.SIGTERM)
    assert "systemd_notifier" in names
    assert "signals" in names
