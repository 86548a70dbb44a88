"""A task that refuses to end must not keep the daemon from ending."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import os, signal, sys
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace
import trio
from streampai.cli.run import run_daemon
from streampai.runtime import ChildSpec, Supervisor
from streampai.telemetry.systemd import Notifier

async def stubborn(*, task_status):
    task_status.started()
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

@asynccontextmanager
async def opening(telemetry):
    spec = ChildSpec(id="stubborn", start=stubborn, shutdown=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(Supervisor([spec], name="top").run)
        async def ping(): pass
        storage = SimpleNamespace(ping=ping)
        manager = SimpleNamespace(status=lambda: {"users": 0})
        yield SimpleNamespace(storage=storage, manager=manager, urls=["here"])
        nursery.cancel_scope.cancel()

async def when_serving(app):
    os.kill(os.getpid(), signal.SIGTERM)

notifier = Notifier()
trio.run(lambda: run_daemon(opening, beside=nullcontext(), when_serving=when_serving, notifier=notifier))
"""


def test_a_task_that_swallows_its_cancellation_is_left_behind_with_a_word() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == 1, ended.stderr
    assert "left without its end: stubborn" in ended.stderr
