"""A bug ends the monitor of the live input: what it knew stays, and what comes later is seen."""

from pathlib import Path

import pytest

from streampai import names
from streampai.telemetry.events import SupervisorReported

from .stage import fail_once, open_show, server, watching


async def test_an_input_monitor_that_crashes_forgets_nothing_and_goes_on_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        key = names.cloudflare_input(browser.user_id)
        monitor = server(house, key)
        since = browser.state["input"]["since"]
        seen = browser.topics[f"user_stream:{browser.user_id}"].data
        mark = len(seen)
        child = names.task_name(key)
        with watching(house, SupervisorReported, lambda e: e.child == child) as watch:
            fail_once(monkeypatch, house.app.services.cloudflare, "get_input")
            await watch.until(lambda event: event.what == "started")
        await browser.until(lambda: house.app.services.registry.lookup(key) not in (None, monitor))
        checked = browser.state["input"]["checked_at"]
        await browser.until(lambda: browser.state["input"]["checked_at"] > checked)
        shown = {(s["state"], s["input"]["state"], s["input"]["since"]) for s in seen[mark:]}
        assert shown == {("streaming", "connected", since)}
        assert "disconnect_clock_started" not in [event["type"] for event in browser.lifecycle]
        assert len((await house.books())["cloudflare"]["inputs"]) == 1
        await house.encoder(False)
        await browser.until(lambda: browser.state["grace_ends_at"])


async def test_its_crash_gives_the_disconnect_clock_no_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        await house.encoder(False)
        deadline = await browser.until(lambda: browser.state["grace_ends_at"])
        child = names.task_name(names.cloudflare_input(browser.user_id))
        with watching(house, SupervisorReported, lambda e: e.child == child) as watch:
            fail_once(monkeypatch, house.app.services.cloudflare, "get_input")
            await watch.until(lambda event: event.what == "started")
        checked = browser.state["input"]["checked_at"]
        await browser.until(lambda: browser.state["input"]["checked_at"] > checked)
        assert browser.state["grace_ends_at"] == deadline
        assert [e["type"] for e in browser.lifecycle].count("disconnect_clock_started") == 1
