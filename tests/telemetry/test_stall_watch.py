"""Conformance X2: a task that blocks the loop is noticed within a bound and named with its stack."""

import logging
import subprocess
import sys
import threading
import time

import pytest
import trio

from streampai.telemetry.stall_watch import RESUMED, STALLED, open_stall_watch
from streampai.telemetry.task_tree import task_tree

LIMIT = 0.1
# So long a block is far beyond the limit on any machine.
BLOCK = 0.5


class Heard(logging.Handler):
    """What is logged, at once also while the loop stands still, and to be waited for."""

    def __init__(self):
        super().__init__()
        self.records = []
        self._changed = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def emit(self, record):
        self.records.append(record)
        self._token.run_sync_soon(self._wake)

    def _wake(self):
        self._changed.set()
        self._changed = trio.Event()

    def of(self, event):
        return [record for record in self.records if record.getMessage() == event]

    async def until(self, event, count=1):
        with trio.fail_after(5):
            while len(self.of(event)) < count:
                await self._changed.wait()
        return self.of(event)


@pytest.fixture
async def heard():
    heard = Heard()
    logger = logging.getLogger("streampai")
    logger.addHandler(heard)
    yield heard
    logger.removeHandler(heard)


def a_call_that_blocks(until):
    while not until():
        time.sleep(0.01)


async def block(until):
    a_call_that_blocks(until)
    await trio.lowlevel.checkpoint()


def at_most(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


@pytest.mark.row("X2")
async def test_who_holds_the_loop_is_named_while_it_is_held(heard):
    def told():
        # Blocking until it has been told of shows that nobody in the loop had to help.
        return bool(heard.of(STALLED)) or give_up()

    give_up = at_most(5)
    async with open_stall_watch(LIMIT), trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="platform_monitor/42/kick")
        nursery.start_soon(block, told, name="platform_monitor/42/twitch")
        await heard.until(RESUMED)
        nursery.cancel_scope.cancel()
    (stalled,) = heard.of(STALLED)
    assert stalled.levelno == logging.ERROR
    assert stalled.fields["task"] == "platform_monitor/42/twitch"
    assert LIMIT < stalled.fields["seconds"] < 2
    assert "a_call_that_blocks" in stalled.stack
    assert __file__ in stalled.stack


@pytest.mark.row("X2")
async def test_one_stall_is_one_line_and_its_end_another_with_how_long_it_was(heard):
    async with open_stall_watch(LIMIT):
        await trio.lowlevel.checkpoint()
        a_call_that_blocks(at_most(BLOCK))
        (resumed,) = await heard.until(RESUMED)
    assert len(heard.of(STALLED)) == 1
    assert resumed.levelno == logging.WARNING
    assert BLOCK - LIMIT < resumed.fields["seconds"] < BLOCK + 2


async def test_the_next_stall_is_told_again(heard):
    async with open_stall_watch(LIMIT):
        await trio.lowlevel.checkpoint()
        for count in (1, 2):
            a_call_that_blocks(at_most(BLOCK))
            await heard.until(RESUMED, count)
    assert len(heard.of(STALLED)) == 2


async def test_a_loop_that_turns_is_not_told_of(heard):
    async with open_stall_watch(BLOCK):
        for _ in range(50):
            await trio.sleep(BLOCK / 50)
    assert heard.records == []


async def test_the_thread_is_a_daemon_and_ends_with_the_block():
    def watches():
        return [thread for thread in threading.enumerate() if thread.name == "stall_watch"]

    async with open_stall_watch(60.0):
        (thread,) = watches()
        assert thread.daemon
        (main,) = task_tree()
        assert "loop_ticker" in {child.name for child in _all(main)}
    assert not thread.is_alive()
    assert watches() == []


def _all(node):
    yield node
    for child in node.children:
        yield from _all(child)


async def test_the_thread_ends_also_when_the_block_fails():
    before = threading.active_count()
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="of the block")):
        async with open_stall_watch(60.0):
            raise ValueError("of the block")
    assert threading.active_count() == before


@pytest.mark.row("X2")
async def test_a_process_that_was_suspended_is_no_stall(heard):
    """Thread and loop then both come back late; the clock tells the thread so."""
    jumps = [0.0]

    def clock():
        return time.monotonic() + jumps[0]

    async with open_stall_watch(BLOCK, clock=clock):
        await trio.lowlevel.checkpoint()
        # The clock goes on by an hour, while the loop stands still for less than the limit
        # but long enough to be looked at twice.
        jumps[0] = 3600.0
        a_call_that_blocks(at_most(BLOCK * 0.7))
        await trio.sleep(BLOCK)
    assert heard.records == []


PROGRAM = """
import os, signal, sys, time
from contextlib import asynccontextmanager
from types import SimpleNamespace
import trio
import streampai.app
import streampai.cli.run
from streampai.cli.main import main

@asynccontextmanager
async def open_application(settings, *, telemetry):
    async def ping(): pass
    manager = SimpleNamespace(status=lambda: {"users": 0})
    yield SimpleNamespace(storage=SimpleNamespace(ping=ping), manager=manager, urls=["here"])

async def greeting(app, settings, **options):
    async def blocks():
        time.sleep(0.6)
        await trio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
    trio.lowlevel.spawn_system_task(blocks, name="a task of ours")
    return "hello"

streampai.app.open_application = open_application
streampai.cli.run.greeting = greeting
sys.exit(main(["run"]))
"""


@pytest.mark.process
def test_the_daemon_watches_its_loop_as_the_setting_says(tmp_path):
    environ = {"STREAMPAI_LOOP_STALL": "150", "STREAMPAI_DATA": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=20,
        env={**environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert ended.returncode == 0, ended.stderr
    assert "loop.stalled seconds=0." in ended.stderr
    assert 'task="a task of ours"' in ended.stderr
    assert "in blocks" in ended.stderr
    assert "loop.resumed seconds=" in ended.stderr
