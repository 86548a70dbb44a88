"""What the tests of faults share: a running show, chat on it, and telemetry that can be waited for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from streampai import names
from streampai.telemetry.events import SupervisorReported, TelemetryEvent

from ..browser import PATIENCE, Browser
from ..house import House, open_house


@asynccontextmanager
async def open_show(data: Path, **environment: str) -> AsyncIterator[tuple[House, Browser]]:
    """A show that runs on Twitch, and the connected browser of its streamer."""
    async with open_house(data, **environment) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            yield house, browser


def say(house: House, *texts: str, user: str = "demo") -> None:
    """Chat at the simulated Twitch: it happens now, whether anybody listens or not."""
    twitch = house.sandbox.twitch
    for text in texts:
        house.sandbox.acts.say(twitch.channel(twitch.user(user)), twitch.user("ada"), text)


def texts(browser: Browser) -> list[str]:
    """The chat that has reached the page, in its order."""
    return [event["text"] for event in browser.events(kind="chat_message_received")]


async def hears(house: House, browser: Browser, *words: str) -> None:
    """The way from Twitch to the page is open: ``words`` arrive, once and in order."""
    before = len(texts(browser))
    say(house, *words, user=browser_name(house, browser))
    await browser.until(lambda: len(texts(browser)) >= before + len(words))
    assert texts(browser)[before:] == list(words)


def browser_name(house: House, browser: Browser) -> str:
    """The Twitch login, which is the streamer's own name in these tests."""
    account: str = browser.destination()["account"]
    return account.lower()


def at(browser: Browser) -> int:
    """A mark in the topic of Twitch, for ``monitor_events``."""
    return len(browser.events())


def statuses(browser: Browser, since: int = 0) -> list[str]:
    """The monitor's words since a mark."""
    return [event["status"] for event in monitor_events(browser, since)]


def monitor_events(browser: Browser, since: int = 0) -> list[dict[str, Any]]:
    return [e for e in browser.events()[since:] if e["type"] == "monitor_status_changed"]


async def reconnected(browser: Browser, since: int) -> dict[str, Any]:
    """Wait until the monitor has connected again after a mark; the event that says so."""

    def found() -> dict[str, Any] | None:
        for event in monitor_events(browser, since):
            if event["status"] == "connected":
                return event
        return None

    result: dict[str, Any] = await browser.until(found)
    return result


def server(house: House, key: names.Key) -> Any:
    """The part of the daemon that is registered under ``key``."""
    found = house.app.services.registry.lookup(key)
    assert found is not None, key
    return found


async def crash(house: House, key: names.Key, *, times: int = 1) -> None:
    """Give a server what it cannot understand, a bug as it were; returns when it is up again."""
    child = names.task_name(key)
    with watching(house, SupervisorReported, lambda e: e.child == child) as watch:
        for count in range(1, times + 1):
            server(house, key).cast_nowait(object())
            await watch.until(lambda event: event.what == "started", count=count)


def fail_once(monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> None:
    """The next call of a method raises what is clearly a bug; later ones are as before."""
    healthy = getattr(target, name)
    errors = [RuntimeError("a bug")]

    def method(*args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return healthy(*args, **options)

    monkeypatch.setattr(target, name, method)


class Watch:
    """Telemetry events from one moment on."""

    def __init__(self, house: House, cls: type[TelemetryEvent], wanted: Callable[[Any], bool]):
        self._telemetry = house.app.services.telemetry
        self._cls = cls
        self._wanted = wanted
        self._changed = trio.Event()
        self.events: list[Any] = []

    def __enter__(self) -> "Watch":
        self._telemetry.attach(self._hear, self._cls)
        return self

    def __exit__(self, *_: object) -> None:
        self._telemetry.detach(self._hear)

    def _hear(self, event: TelemetryEvent) -> None:
        if self._wanted(event):
            self.events.append(event)
            self._changed.set()
            self._changed = trio.Event()

    async def until(self, condition: Callable[[Any], bool] = lambda _: True, count: int = 1) -> Any:
        """Wait for ``count`` events of which ``condition`` is true; the last of them."""
        with trio.fail_after(PATIENCE):
            while len(found := [e for e in self.events if condition(e)]) < count:
                await self._changed.wait()
        return found[count - 1]


def watching(
    house: House, cls: type[TelemetryEvent], wanted: Callable[[Any], bool] = lambda _: True
) -> Watch:
    return Watch(house, cls, wanted)
