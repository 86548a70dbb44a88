"""The sandbox as a real process beside the daemon, and as a command of its own."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import trio

from streampai.cli.sandbox_process import open_sandbox_process
from streampai.errors import SettingsError, StreampaiError

pytestmark = pytest.mark.process


def pid_at(base_port):
    """The process id of the sandbox that answers there, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", base_port, timeout=5)
    try:
        connection.request("GET", "/state?last=1")
        return json.loads(connection.getresponse().read())["pid"]
    except ConnectionError:
        return None
    finally:
        connection.close()


@pytest.fixture
def by_hand(base_port):
    """Start ``streampai sandbox`` as a person would; ends it afterwards."""
    children = []

    def start(*options):
        child = subprocess.Popen(
            [sys.executable, "-m", "streampai", "sandbox", "--base-port", str(base_port), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child, child.stdout.readline()

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.fixture
def leftovers(base_port):
    """Whatever sandbox a test left running is ended."""
    yield
    if pid := pid_at(base_port):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_a_sandbox_lives_from_the_first_daemon_to_the_orderly_end_of_the_last(
    base_port, tmp_path, leftovers
):
    class Killed(Exception):
        """In place of SIGKILL, which would leave the block even less time."""

    with trio.fail_after(60):
        with pytest.RaisesGroup(Killed):
            async with open_sandbox_process(base_port, data=tmp_path / "data"):
                first = pid_at(base_port)
                raise Killed
        assert pid_at(base_port) == first
        async with open_sandbox_process(base_port, data=tmp_path / "data"):
            assert pid_at(base_port) == first
        assert pid_at(base_port) is None
    log = tmp_path / "data" / "sandbox.log"
    assert f"http://127.0.0.1:{base_port}/" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


async def test_a_hasty_end_asks_the_sandbox_to_stop(base_port, tmp_path, leftovers):
    with trio.fail_after(60):
        with trio.CancelScope() as scope:
            async with open_sandbox_process(base_port, data=tmp_path):
                descriptor = os.pidfd_open(pid_at(base_port))
                scope.cancel()
                await trio.sleep_forever()
        await trio.lowlevel.wait_readable(descriptor)
        os.close(descriptor)


async def test_a_sandbox_started_by_hand_is_used_and_left_alone(base_port, by_hand, tmp_path):
    child, line = await trio.to_thread.run_sync(by_hand)
    assert line == f"The sandbox's controls are at http://127.0.0.1:{base_port}/\n"
    async with open_sandbox_process(base_port, data=tmp_path):
        assert pid_at(base_port) == child.pid
    assert child.poll() is None
    assert pid_at(base_port) == child.pid
    child.send_signal(signal.SIGTERM)
    assert await trio.to_thread.run_sync(child.wait) == 0


@pytest.fixture
def told():
    """Log lines as they come."""
    send, receive = trio.open_memory_channel(100)
    handler = logging.Handler()
    handler.emit = lambda record: send.send_nowait(record.getMessage())
    logger = logging.getLogger("streampai")
    logger.addHandler(handler)
    yield receive
    logger.removeHandler(handler)


async def test_a_sandbox_that_dies_is_told_once_and_does_not_end_the_daemon(
    base_port, by_hand, tmp_path, told
):
    child, _ = await trio.to_thread.run_sync(by_hand)
    with trio.fail_after(60):
        async with open_sandbox_process(base_port, data=tmp_path, call_every=0.02):
            child.kill()
            assert "the sandbox is gone" in await told.receive()
            await trio.to_thread.run_sync(by_hand)
            assert "the sandbox is back" in await told.receive()
    assert told.statistics().current_buffer_used == 0


def test_a_sandbox_that_nobody_calls_ends_by_itself(by_hand):
    child, _ = by_hand("--exit-when-idle", "0.1")
    assert child.wait(timeout=30) == 0


def test_a_taken_port_is_one_line(by_hand, streampai, base_port):
    by_hand()
    code, out, err = streampai("sandbox", "--base-port", str(base_port))
    assert (code, out) == (1, "")
    assert err == "streampai: Address already in use\n"


async def test_a_port_that_is_somebody_elses_is_told(server, tmp_path):
    with pytest.raises(SettingsError, match=f"Port {server.port} is taken by something"):
        async with open_sandbox_process(server.port, data=tmp_path):
            pass


async def test_a_sandbox_that_cannot_start_is_told_with_its_last_words(base_port, tmp_path):

    with (
        socket.create_server(("127.0.0.1", base_port + 1)),
        pytest.raises(StreampaiError, match="did not start: streampai: Address already in use"),
    ):
        async with open_sandbox_process(base_port, data=tmp_path):
            pass
    assert pid_at(base_port) is None
