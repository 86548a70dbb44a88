"""The daemon as a real process, beside a sandbox in the test's own, so that it can be killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import httpx
import trio

from streampai.cli.demo_user import add_demo_user
from streampai.platforms import PLATFORMS
from streampai.platforms.platform import PlatformContext
from streampai.runtime import utc_now
from streampai.sandbox import Sandbox
from streampai.settings import load_settings
from streampai.storage import open_storage
from streampai.telemetry import Telemetry

from .house import QUICK

START_PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def daemon_environment(
    sandbox: Sandbox, data: Path, port: int, more: Mapping[str, str]
) -> dict[str, str]:
    """Only what the daemon needs: nothing of the developer's own environment."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(sys.path),
        **sandbox.settings_environment(),
        **QUICK,
        "STREAMPAI_PORT": str(port),
        "STREAMPAI_DATA": str(data),
        **more,
    }


async def make_user(sandbox: Sandbox, data: Path, name: str = "demo") -> str:
    """A user whose Twitch account is connected; the password."""
    environment = {**sandbox.settings_environment(), "STREAMPAI_DATA": str(data)}
    settings = load_settings(environment)
    telemetry = Telemetry()
    async with (
        open_storage(settings.storage, telemetry=telemetry) as storage,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        context = PlatformContext(settings=settings, http=http, telemetry=telemetry, now=utc_now)
        platforms = {name: make(context) for name, make in PLATFORMS.items()}
        return await add_demo_user(storage, platforms, name, "http://127.0.0.1:1")


@attrs.define
class Daemon:
    process: subprocess.Popen[bytes]
    url: str

    def kill(self) -> None:
        """SIGKILL: nothing in the process gets a word in."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int:
        return await trio.to_thread.run_sync(
            partial(self.process.wait, timeout=START_PATIENCE), abandon_on_cancel=True
        )


@asynccontextmanager
async def open_daemon(
    sandbox: Sandbox, data: Path, *, port: int | None = None, **environment: str
) -> AsyncIterator[Daemon]:
    """A daemon that is ready. It is killed when the block ends and it still runs."""
    port = free_port() if port is None else port
    environment = daemon_environment(sandbox, data, port, environment)
    daemon = Daemon(_spawn(data, environment), f"http://127.0.0.1:{port}")
    try:
        await _wait_until_ready(daemon, data)
        yield daemon
    finally:
        daemon.kill()


def _spawn(data: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with open(data / "daemon.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streampai", "run"], env=environment, stdout=log, stderr=log
        )


async def _wait_until_ready(daemon: Daemon, data: Path) -> None:
    deadline = trio.current_time() + START_PATIENCE
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                answer = await http.get(daemon.url + "/readyz")
            except httpx.TransportError:
                pass
            else:
                if answer.status_code == 200:
                    return
            ended = daemon.process.poll()
            if ended is not None or trio.current_time() > deadline:
                log = (data / "daemon.log").read_text(errors="replace")[-4000:]
                raise AssertionError(f"the daemon is not ready ({ended}):\n{log}")
            # Another process: there is nothing to wait on but its answer.
            await trio.sleep(0.02)  # noqa: ASYNC110
