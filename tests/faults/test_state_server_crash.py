"""A bug ends stream_state: it rebuilds itself from storage, and its siblings do not notice."""

from pathlib import Path
from typing import Any

import pytest

from streampai import names
from streampai.events import ChatMessageReceived, PlatformEvent
from streampai.livestream.statistics import Statistics

from ..browser import Browser
from .stage import at, crash, hears, open_show, say, server, statuses, texts

# What a fresh snapshot need not have in common with its predecessor.
CHANGING = ("revision", "input")


def shown(browser: Browser) -> dict[str, Any]:
    state = {name: value for name, value in browser.state.items() if name not in CHANGING}
    state["input"] = {k: browser.state["input"][k] for k in ("state", "since", "provisioned")}
    return state


def totals(browser: Browser) -> dict[str, Any]:
    """The counters; viewers are measured anew all the time."""
    total: dict[str, Any] = browser.statistics["total"]
    return {name: value for name, value in total.items() if "viewers" not in name}


async def test_it_shows_and_counts_what_its_predecessor_did(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await browser.done("edit_metadata", title="A title")
        await house.control("/scenarios/raid", user="demo", viewers=42)
        await hears(house, browser, "one", "two", "three")
        await browser.until(lambda: totals(browser)["messages"] == 3)
        await browser.until(lambda: browser.destination()["live"])
        before, counted, mark = shown(browser), totals(browser), at(browser)
        revision = browser.state["revision"]
        await crash(house, names.stream_state(browser.user_id))
        await browser.until(lambda: browser.state["revision"] > revision)
        assert shown(browser) == before
        answer = await browser.get("/api/stream")
        assert answer["destinations"] == before["destinations"]
        await hears(house, browser, "four")
        await browser.until(lambda: totals(browser)["messages"] == 4)
        assert totals(browser) == {**counted, "messages": 4, "messages_per_minute": 4}
        # Nobody else was touched: the monitor never said anything.
        assert statuses(browser, mark) == []


async def test_what_the_platform_says_meanwhile_is_neither_lost_nor_doubled(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        state = server(house, names.stream_state(browser.user_id))
        said = [f"message {n}" for n in range(60)]
        say(house, *said[:20])
        state.cast_nowait(object())
        say(house, *said[20:40])
        await browser.until(lambda: len(texts(browser)) >= 40)
        say(house, *said[40:])
        await browser.until(lambda: len(texts(browser)) >= 60)
        assert texts(browser) == said
        await browser.until(lambda: totals(browser)["messages"] == 60)
        assert server(house, names.stream_state(browser.user_id)) is not state


async def test_what_was_stored_and_not_yet_shown_is_shown_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        await hears(house, browser, "before")
        events = type(house.app.storage.events)
        healthy, errors = events.append, [RuntimeError("a bug")]

        async def append(*args: Any, **options: Any) -> None:
            await healthy(*args, **options)
            if errors:
                raise errors.pop()

        monkeypatch.setattr(events, "append", append)
        await hears(house, browser, "stored", "after")
        assert errors == []
        await browser.until(lambda: totals(browser)["messages"] == 3)
        assert texts(browser) == ["before", "stored", "after"]


async def test_three_crashes_in_a_row_cost_nothing(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        manager = server(house, names.user_stream_manager(user))
        mark = at(browser)
        for number in range(3):
            say(house, f"before {number}")
            await crash(house, names.stream_state(user))
            say(house, f"after {number}")
        said = [f"{word} {n}" for n in range(3) for word in ("before", "after")]
        await browser.until(lambda: len(texts(browser)) >= 6)
        assert texts(browser) == said
        await browser.until(lambda: totals(browser)["messages"] == 6)
        assert statuses(browser, mark) == []
        assert server(house, names.user_stream_manager(user)) is manager
        await browser.done("stop_stream")
        (show,) = await house.app.storage.streams.recent(user, 10)
        assert show.summary["statistics"]["total"]["messages"] == 6


async def test_the_disconnect_clock_survives_it(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await house.encoder(False)
        deadline = await browser.until(lambda: browser.state["grace_ends_at"])
        await crash(house, names.stream_state(browser.user_id))
        assert browser.state["grace_ends_at"] == deadline
        await house.encoder(True)
        await browser.until(lambda: browser.state["grace_ends_at"] is None)


async def test_a_stop_that_is_under_way_is_finished(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        cloudflare = house.sandbox.faults["cloudflare"]
        cloudflare.on_call("hold", method="DELETE", path="*/outputs/*", name="deleting")
        await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
        await cloudflare.holds["deleting"].reached.wait()
        await crash(house, names.stream_state(browser.user_id))
        assert browser.state["state"] == "ending"
        cloudflare.holds["deleting"].release()
        assert (await browser.outcome("stop"))["type"] == "command_done"
        assert await house.outputs() == []
        await browser.until_state("ready")
        assert [e["type"] for e in browser.lifecycle].count("stream_ended") == 1


async def test_a_browser_that_comes_during_the_crash_is_served(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await hears(house, browser, "before")
        second = await house.browser()
        server(house, names.stream_state(browser.user_id)).cast_nowait(object())
        async with second.connected():
            assert second.state["state"] == "streaming"
            assert texts(second) == ["before"]
            await hears(house, browser, "after")
            await second.until(lambda: len(texts(second)) == 2)


async def test_an_event_it_always_crashes_with_is_given_up_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = Statistics.add

    def add(self: Statistics, event: PlatformEvent) -> bool:
        if isinstance(event, ChatMessageReceived) and event.text == "poison":
            raise RuntimeError("a bug")
        return healthy(self, event)

    async with open_show(tmp_path) as (house, browser):
        manager = server(house, names.user_stream_manager(browser.user_id))
        monkeypatch.setattr(Statistics, "add", add)
        say(house, "good", "poison", "good as well")
        await browser.until(lambda: len(texts(browser)) == 2)
        assert texts(browser) == ["good", "good as well"]
        (lost,) = [event for event in browser.lifecycle if event["type"] == "events_lost"]
        assert (lost["platform"], lost["count"]) == ("twitch", 1)
        assert server(house, names.user_stream_manager(browser.user_id)) is manager
        assert browser.state["state"] == "streaming"
