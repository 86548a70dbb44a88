import os
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.telemetry import Telemetry
from streampai.telemetry.events import LoopLagMeasured
from streampai.telemetry.systemd import Notifier, feed_watchdog


class ServiceManager:
    """The far side of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address)

    def heard(self):
        words = []
        while True:
            try:
                words.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return words


@pytest.fixture
def manager(tmp_path):
    manager = ServiceManager(str(tmp_path / "notify"))
    with manager.socket:
        yield manager


@pytest.fixture
def open_notifier(manager, tmp_path):
    notifiers = []

    def make(**environ):
        notifiers.append(Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environ}))
        return notifiers[-1]

    yield make
    for notifier in notifiers:
        notifier.close()


async def nothing():
    await trio.lowlevel.checkpoint()


def feed(notifier, telemetry, **options):
    options = {"heartbeat": nothing, "status": lambda: "up", **options}
    return feed_watchdog(notifier, telemetry, **options)


def test_a_life_is_told(manager, open_notifier):
    notifier = open_notifier()
    notifier.ready()
    notifier.status("3 users")
    notifier.feed()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "STATUS=3 users", "WATCHDOG=1", "STOPPING=1"]


def test_the_same_status_is_sent_once_and_stays_one_line(manager, open_notifier):
    notifier = open_notifier()
    for text in ("a\nREADY=1", "a\nREADY=1", "b"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=a READY=1", "STATUS=b"]


def test_an_abstract_address_works():
    name = f"streampai-test-{os.getpid()}"
    manager = ServiceManager("\0" + name)
    notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
    with manager.socket:
        notifier.ready()
        assert manager.heard() == ["READY=1"]
    notifier.close()


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    notifier.ready()
    notifier.close()
    assert notifier.watchdog is None


def test_a_service_manager_that_is_gone_or_busy_is_no_trouble(manager, open_notifier, tmp_path):
    notifier = open_notifier()
    for _ in range(5_000):
        notifier.feed()
    manager.socket.close()
    os.unlink(tmp_path / "notify")
    notifier.feed()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_time_is_read(open_notifier, environ, seconds):
    assert open_notifier(**environ).watchdog == seconds


async def test_the_watchdog_is_fed_twice_within_its_time(
    manager, open_notifier, nursery, autojump_clock
):
    nursery.start_soon(feed, open_notifier(WATCHDOG_USEC="30000000"), Telemetry())
    await trio.sleep(90.5)
    fed = manager.heard().count("WATCHDOG=1")
    assert 6 <= fed <= 8


async def test_a_short_watchdog_is_fed_in_time(manager, open_notifier, nursery, autojump_clock):
    nursery.start_soon(feed, open_notifier(WATCHDOG_USEC="500000"), Telemetry())
    for _ in range(20):
        await trio.sleep(0.5)
        assert "WATCHDOG=1" in manager.heard()


@pytest.mark.row("X2")
async def test_a_heartbeat_that_hangs_starves_the_watchdog(
    manager, open_notifier, nursery, autojump_clock
):
    nursery.start_soon(
        lambda: feed(
            open_notifier(WATCHDOG_USEC="30000000"), Telemetry(), heartbeat=trio.sleep_forever
        )
    )
    await trio.sleep(120)
    assert "WATCHDOG=1" not in manager.heard()


async def test_without_a_watchdog_there_is_no_heartbeat(
    manager, open_notifier, nursery, autojump_clock
):
    asked = []

    async def heartbeat():
        await nothing()
        asked.append(1)

    nursery.start_soon(lambda: feed(open_notifier(), Telemetry(), heartbeat=heartbeat))
    await trio.sleep(60)
    assert asked == []
    assert manager.heard() == ["STATUS=up"]


@pytest.mark.row("X2")
async def test_the_lag_of_the_loop_is_measured(open_notifier, nursery, mock_clock):
    telemetry = Telemetry()
    measured = []
    telemetry.attach(lambda event: measured.append(event.lag), LoopLagMeasured)
    nursery.start_soon(feed, open_notifier(), telemetry)
    await wait_all_tasks_blocked()
    mock_clock.jump(1.0)
    await wait_all_tasks_blocked()
    # The loop comes round three quarters of a second late.
    mock_clock.jump(1.75)
    await wait_all_tasks_blocked()
    assert measured == [pytest.approx(0.0), pytest.approx(0.75)]
