"""A bug ends a platform monitor: its supervisor starts it again, and nobody else notices."""

from pathlib import Path
from typing import Any

import pytest

from streampai import names
from streampai.platforms.monitor import PlatformMonitor
from streampai.platforms.twitch.account import TwitchAccount
from streampai.telemetry.events import SupervisorReported

from ..house import House
from .stage import at, fail_once, hears, open_show, reconnected, say, server, texts, watching


def others(house: House, user_id: int) -> list[Any]:
    """The siblings of the monitor, which must be the same objects afterwards."""
    return [
        server(house, key)
        for key in (
            names.user_stream_manager(user_id),
            names.stream_state(user_id),
            names.cloudflare_input(user_id),
            names.cloudflare_output(user_id),
            names.platform_monitors(user_id),
        )
    ]


@pytest.mark.parametrize("where", ["viewers", "source"])
async def test_a_monitor_that_crashes_connects_again_and_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        await hears(house, browser, "one", "two")
        monitor = server(house, names.platform_monitor(user, "twitch"))
        before = others(house, user)
        (output,) = await house.outputs()
        mark = at(browser)
        with watching(house, SupervisorReported, lambda e: "platform_monitor/" in e.child) as watch:
            if where == "viewers":
                fail_once(monkeypatch, TwitchAccount, "viewers")
            else:
                # The connection is fine and what it says breaks the reader.
                fail_once(monkeypatch, PlatformMonitor, "_read")
                say(house, "the message that breaks it")
            await watch.until(lambda event: event.what == "restarting")
        await reconnected(browser, mark)
        assert server(house, names.platform_monitor(user, "twitch")) is not monitor
        assert others(house, user) == before
        await hears(house, browser, "three")
        await browser.until(
            lambda: browser.statistics["total"]["messages"] == len(set(texts(browser)))
        )
        assert texts(browser) == ["one", "two", "three"]
        assert browser.state["state"] == "streaming"
        assert [o["uid"] for o in await house.outputs()] == [output["uid"]]


async def test_a_crash_names_what_it_made_the_monitor_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        fail_once(monkeypatch, TwitchAccount, "viewers")
        connected = await reconnected(browser, mark)
        assert connected["missed_from"] < connected["missed_until"]


async def test_a_monitor_that_crashes_over_and_over_leaves_the_show_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        before = others(house, user)

        def broken(*_: Any) -> None:
            raise RuntimeError("a bug that stays")

        monkeypatch.setattr(TwitchAccount, "source", broken)
        with watching(house, SupervisorReported, lambda e: "platform_monitor/" in e.child) as watch:
            house.sandbox.eventsub.cut("demo")
            # Past its budget it waits for long; the rest of the tree goes on.
            await watch.until(lambda event: event.what == "delayed")
        assert others(house, user) == before
        assert browser.state["state"] == "streaming"
        assert browser.state["interrupted"] == ""
        await browser.done("stop_stream")
        assert await house.outputs() == []
