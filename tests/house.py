"""A whole daemon beside a whole sandbox, in one process, over loopback sockets."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from streampai.app import Application, open_application
from streampai.cli.demo_user import add_demo_user
from streampai.sandbox import Sandbox, open_sandbox
from streampai.settings import load_settings
from streampai.telemetry import Telemetry
from streampai.telemetry.events import TelemetryEvent

from .browser import PATIENCE, Browser, open_browser

# Short settings: real sockets and the real clock, but nobody waits for minutes.
QUICK = {
    "STREAMPAI_PORT": "0",
    "CLOUDFLARE_INPUT_POLL_INTERVAL": "100",
    "STREAM_METRICS_BROADCAST_INTERVAL": "100",
    "STREAMPAI_BACKOFF_BASE": "20",
    "STREAMPAI_BACKOFF_CAP": "200",
    "STREAMPAI_VIEWERS_INTERVAL": "300",
    "STREAMPAI_TWITCH_KEEPALIVE": "1",
    "STREAMPAI_SHUTDOWN_GRACE": "3000",
    "STREAMPAI_CLOUDFLARE_REQUESTS": "100000",
}


@attrs.define
class House:
    app: Application
    sandbox: Sandbox
    url: str
    passwords: dict[str, str]
    telemetry: list[TelemetryEvent]
    http: httpx.AsyncClient
    _stack: AsyncExitStack

    async def add_user(self, name: str) -> int:
        self.passwords[name] = await add_demo_user(
            self.app.storage, self.app.platforms, name, self.url
        )
        user = await self.app.storage.users.by_name(name)
        assert user is not None
        return user.id

    async def browser(self, name: str = "demo") -> Browser:
        """A browser that is logged in as ``name``."""
        browser = await self.stranger()
        answer = await browser.log_in(name, self.passwords[name])
        assert answer.status_code == 200, answer.text
        return browser

    async def stranger(self) -> Browser:
        """A browser that nobody has logged in with."""
        return await self._stack.enter_async_context(open_browser(self.url))

    async def control(self, path: str, **body: Any) -> Any:
        """One call of the sandbox's control interface."""
        answer = await self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def encoder(self, connected: bool, user: str = "demo", **more: Any) -> None:
        await self.control("/encoder", user=user, connected=connected, **more)

    async def books(self) -> Any:
        answer = await self.http.get("/state")
        return answer.json()

    async def outputs(self, user: str = "demo") -> list[dict[str, Any]]:
        """What the simulated Cloudflare believes this user's outputs are."""
        books = await self.books()
        return [
            output
            for live_input in books["cloudflare"]["inputs"]
            if live_input["name"] == user
            for output in live_input["outputs"]
        ]

    async def live(self, browser: Browser) -> None:
        """From a connected browser to a running show on Twitch."""
        await browser.until(lambda: browser.state["input"]["provisioned"])
        await self.encoder(True)
        await browser.until_state("ready")
        await browser.done("start_stream", platforms=["twitch"])
        await browser.until(lambda: browser.destination()["monitor"] == "connected")


@asynccontextmanager
async def open_house(
    data: Path,
    *,
    sandbox: Sandbox | None = None,
    users: tuple[str, ...] = ("demo",),
    passwords: dict[str, str] | None = None,
    **environment: str,
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        if sandbox is None:
            sandbox = await stack.enter_async_context(open_sandbox(base_port=0))
        settings = load_settings(
            {
                **sandbox.settings_environment(),
                **QUICK,
                "STREAMPAI_DATA": str(data),
                **environment,
            },
            simulated=True,
        )
        telemetry = Telemetry()
        seen: list[TelemetryEvent] = []
        telemetry.attach(seen.append)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=sandbox.urls["control"], trust_env=False, timeout=PATIENCE)
        )
        app = await stack.enter_async_context(open_application(settings, telemetry=telemetry))
        house = House(
            app=app,
            sandbox=sandbox,
            url=app.urls[0],
            passwords=passwords if passwords is not None else {},
            telemetry=seen,
            http=http,
            stack=await stack.enter_async_context(AsyncExitStack()),
        )
        for name in users:
            if await app.storage.users.by_name(name) is None:
                await house.add_user(name)
        yield house


def fresh_id() -> str:
    return secrets.token_hex(8)
