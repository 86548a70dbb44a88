"""The sandbox beside a daemon: started as a process of its own, or found running.

Real platforms outlive a daemon, so the sandbox does too: after a crash or
SIGKILL of the daemon it goes on, and the next ``run --sandbox`` adopts it. An
orderly end of the daemon ends it; if no daemon comes back it ends by itself.
"""

import logging
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ..errors import SettingsError, StreampaiError
from .daemon_client import get_json

# How long an orphan waits for the next daemon.
IDLE_EXIT = 600
# A daemon without users calls no platform; this often it asks the controls instead.
CALL_EVERY = 60.0
START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
HOST = "127.0.0.1"


def control_url(base_port: int) -> str:
    return f"http://{HOST}:{base_port}"


async def _state(base_port: int) -> dict[str, Any] | None:
    """What the sandbox says of itself, or None when nobody listens there.

    Raises SettingsError when somebody else does.
    """
    url = f"{control_url(base_port)}/state?last=1"
    try:
        status, body = await trio.to_thread.run_sync(
            partial(get_json, url, timeout=5.0), abandon_on_cancel=True
        )
    except OSError:
        return None
    if status != 200 or not isinstance(body, dict) or not {"cloudflare", "twitch"} <= body.keys():
        raise SettingsError(
            f"Port {base_port} is taken by something that is no sandbox; choose --base-port."
        )
    return body


class _Process:
    """A process by a descriptor, so that a number used again is never mistaken for it."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ended(self) -> bool:
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not heed it. Cancelling leaves it at SIGTERM."""
        self.send(signal.SIGTERM)
        with trio.move_on_after(STOP_TIMEOUT) as patience:
            await trio.lowlevel.wait_readable(self._descriptor)
        if patience.cancelled_caught:
            self.send(signal.SIGKILL)

    def close(self) -> None:
        os.close(self._descriptor)


def _is_ours_to_stop(pid: int) -> bool:
    """True for a sandbox that a ``run --sandbox`` started; one started by hand is left alone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"sandbox" in words and b"--exit-when-idle" in words


def _adopt(state: dict[str, Any]) -> _Process | None:
    pid = state.get("pid")
    if not isinstance(pid, int) or not _is_ours_to_stop(pid):
        return None
    try:
        return _Process(pid)
    except OSError:
        return None


def _spawn(base_port: int, log: Path) -> int:
    """Its process id. It has a session of its own: Ctrl-C is for the daemon, which then stops it.

    Not by ``subprocess``, whose objects want their process to end before they do.
    """
    command = [sys.executable, "-m", "streampai", "sandbox", "--host", HOST]
    command += ["--base-port", str(base_port), "--exit-when-idle", str(IDLE_EXIT)]
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


async def _start(base_port: int, log: Path) -> _Process:
    """Start a sandbox and wait until it answers. Raises StreampaiError when it does not."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = _Process(_spawn(base_port, log))
    try:
        with trio.move_on_after(START_TIMEOUT):
            while not process.ended():
                if await _state(base_port) is not None:
                    return process
                # Nothing tells of a port that begins to listen; this is asked only at start.
                await trio.sleep(0.05)
        raise StreampaiError(f"The sandbox did not start: {_last_words(log)} (more in {log})")
    except BaseException:
        process.send(signal.SIGKILL)
        process.close()
        raise


async def _answers(base_port: int) -> bool:
    try:
        return await _state(base_port) is not None
    except SettingsError:
        # Something else has taken its place; the daemon is told by what it asks next.
        return False


async def _keep_awake(base_port: int, every: float) -> None:
    lost = False
    while True:
        await trio.sleep(every)
        if await _answers(base_port) == lost:
            lost = not lost
            word = "is gone: the simulated platforms cannot be reached" if lost else "is back"
            logging.getLogger("streampai").warning("the sandbox %s", word)


@asynccontextmanager
async def open_sandbox_process(
    base_port: int, *, data: Path, call_every: float = CALL_EVERY
) -> AsyncIterator[None]:
    """A sandbox answers at ``base_port`` while the block runs; its output is in ``data/sandbox.log``.

    Leaving the block in order stops it, unless it was started by hand; cancelling only
    asks it to stop; an error in the block leaves it to the next daemon. Raises
    SettingsError when the port is somebody else's, StreampaiError when it does not start.
    """
    state = await _state(base_port)
    process = _adopt(state) if state else await _start(base_port, data / "sandbox.log")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_awake, base_port, call_every, name="sandbox_caller")
            yield
            nursery.cancel_scope.cancel()
        if process:
            await process.stop()
    except* trio.Cancelled:
        if process:
            process.send(signal.SIGTERM)
        raise
    finally:
        if process:
            process.close()
