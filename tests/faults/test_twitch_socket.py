"""EventSub's socket ends in every way it can: it comes back by itself and names what it missed."""

from datetime import datetime
from pathlib import Path

from streampai import names
from streampai.runtime import utc_now
from streampai.telemetry.events import MonitorStateChanged

from .stage import (
    at,
    hears,
    monitor_events,
    open_show,
    reconnected,
    say,
    server,
    statuses,
    texts,
    watching,
)


async def test_a_socket_that_is_closed_is_replaced_and_the_gap_is_named(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        monitor = server(house, names.platform_monitor(browser.user_id, "twitch"))
        for code in (*range(4000, 4008), 1011):
            mark = at(browser)
            await house.control("/kill-sockets", user="demo", code=code)
            ended_at = utc_now()
            connected = await reconnected(browser, mark)
            assert (code, statuses(browser, mark)[:3]) == (
                code,
                ["waiting", "connecting", "connected"],
            )
            assert datetime.fromisoformat(connected["missed_from"]) <= ended_at
            assert datetime.fromisoformat(connected["missed_until"]) >= ended_at
            waiting = monitor_events(browser, mark)[0]
            assert waiting["retry_at"] >= waiting["occurred_at"]
            because = "Twitch closed the connection because" in waiting["reason"]
            assert because == (code in range(4000, 4008)), waiting["reason"]
            await hears(house, browser, f"after {code}")
        # It is the same monitor: this was no crash.
        assert server(house, names.platform_monitor(browser.user_id, "twitch")) is monitor
        assert browser.state["state"] == "streaming"
        assert len(await house.outputs()) == 1


async def test_a_socket_that_is_cut_is_replaced_and_what_was_lost_lies_in_the_gap(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        await hears(house, browser, "heard")
        mark = at(browser)
        # No close frame, and what was under way is lost.
        await house.control("/kill-sockets", user="demo")
        say(house, "lost")
        lost_at = utc_now()
        connected = await reconnected(browser, mark)
        assert datetime.fromisoformat(connected["missed_from"]) <= lost_at
        assert datetime.fromisoformat(connected["missed_until"]) >= lost_at
        assert monitor_events(browser, mark)[0]["reason"]
        await hears(house, browser, "heard again")
        assert texts(browser) == ["heard", "heard again"]


async def test_the_page_shows_the_break_and_its_end(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.refuse_sockets = 2
        house.sandbox.eventsub.cut("demo")
        await browser.until(lambda: browser.destination()["monitor"] == "waiting")
        assert browser.destination()["monitor_reason"]
        assert browser.destination()["retry_at"]
        await browser.until(lambda: browser.destination()["monitor"] == "connected")
        assert browser.destination()["retry_at"] is None
        assert browser.destination()["monitor_reason"] == ""


async def test_attempts_that_fail_open_the_breaker_and_the_gap_is_one(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await hears(house, browser, "heard")
        mark = at(browser)
        house.sandbox.eventsub.knobs.refuse_sockets = 10_000
        cut_at = utc_now()
        house.sandbox.eventsub.cut("demo")
        await browser.until(lambda: browser.destination()["breaker"] == "open")
        assert statuses(browser, mark).count("waiting") == 5
        house.sandbox.eventsub.knobs.refuse_sockets = 0
        # The streamer does not want to wait for the breaker.
        monitor = server(house, names.platform_monitor(browser.user_id, "twitch"))
        monitor.retry_now()
        connected = await reconnected(browser, mark)
        assert datetime.fromisoformat(connected["missed_from"]) <= cut_at
        await browser.until(lambda: browser.destination()["breaker"] == "closed")
        await hears(house, browser, "heard again")


async def test_silence_beyond_the_keepalive_is_a_broken_socket(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        silent_from = utc_now()
        await house.control("/sockets", user="demo", action="silence")
        connected = await reconnected(browser, mark)
        waiting = monitor_events(browser, mark)[0]
        assert waiting["status"] == "waiting"
        assert "silent" in waiting["reason"]
        missed_from = datetime.fromisoformat(connected["missed_from"])
        # Nothing later than the last sign of life: what was said since is missed.
        assert abs((missed_from - silent_from).total_seconds()) < 1.2
        await hears(house, browser, "heard again")


async def test_keepalives_are_enough(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        session = house.sandbox.eventsub.open_sessions("demo")[0]
        sent = session.sent
        # A second of silence brings one, and the limit is 1.3 seconds.
        await browser.until(lambda: session.sent >= sent + 2)
        assert statuses(browser, mark) == []


async def test_a_hand_over_loses_nothing_and_names_no_gap(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        (old,) = house.sandbox.eventsub.open_sessions("demo")
        with watching(house, MonitorStateChanged) as watch:
            say(house, *[f"before {n}" for n in range(20)])
            await house.control("/sockets", user="demo", action="reconnect")
            say(house, *[f"during {n}" for n in range(20)])
            await browser.until(lambda: old.id not in house.sandbox.eventsub.sessions)
            await hears(house, browser, "after")
        said = [f"before {n}" for n in range(20)] + [f"during {n}" for n in range(20)]
        assert texts(browser) == [*said, "after"]
        assert statuses(browser, mark) == []
        assert watch.events == []


async def test_a_hand_over_whose_address_does_not_answer_begins_anew(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        (old,) = house.sandbox.eventsub.open_sessions("demo")
        house.sandbox.eventsub.knobs.refuse_reconnect = True
        await house.control("/sockets", user="demo", action="reconnect")
        await browser.until(lambda: old.id not in house.sandbox.eventsub.sessions)
        await browser.until(lambda: browser.destination()["monitor"] == "connected")
        await hears(house, browser, "after")


async def test_a_subscription_that_is_revoked_leaves_the_others(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        await house.control(
            "/revocations", user="demo", type="channel.raid", status="version_removed"
        )
        await browser.until(lambda: monitor_events(browser, mark))
        (told,) = monitor_events(browser, mark)
        assert (told["status"], told["not_subscribed"]) == ("connected", ["channel.raid"])
        await hears(house, browser, "chat goes on")
