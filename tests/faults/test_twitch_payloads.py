"""What Twitch delivers twice, late, in another order or unreadable."""

from pathlib import Path

from streampai.telemetry.events import PlatformEventDropped, SupervisorReported

from .stage import at, hears, open_show, say, statuses, texts, watching


async def test_a_message_that_is_sent_again_is_shown_and_counted_once(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.duplicate = 1.0
        with watching(house, PlatformEventDropped) as watch:
            await hears(house, browser, "one", "two", "three")
            await house.control("/scenarios/follow", user="demo")
            await watch.until(lambda event: event.reason == "duplicate", count=4)
        await browser.until(lambda: browser.statistics["total"]["messages"] == 3)
        assert browser.statistics["total"]["follows"] == 1
        assert texts(browser) == ["one", "two", "three"]


async def test_the_same_message_under_another_id_is_shown_and_counted_once(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.repeat = 1.0
        with watching(house, PlatformEventDropped) as watch:
            await hears(house, browser, "one", "two", "three")
            await watch.until(lambda event: event.reason == "duplicate", count=3)
        await browser.until(lambda: browser.statistics["total"]["messages"] == 3)
        assert texts(browser) == ["one", "two", "three"]


async def test_a_duplicate_that_comes_on_another_socket_is_known(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.late = 1.0
        house.sandbox.eventsub.knobs.late_seconds = 0.3
        house.sandbox.eventsub.knobs.duplicate = 1.0
        say(house, "one", "two")
        await house.control("/sockets", user="demo", action="reconnect")
        with watching(house, PlatformEventDropped) as watch:
            await browser.until(lambda: len(texts(browser)) >= 2)
            await watch.until(lambda event: event.reason == "duplicate", count=2)
        assert texts(browser) == ["one", "two"]


async def test_unreadable_payloads_are_dropped_counted_and_cost_nothing_else(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.malformed = 1.0
        mark = at(browser)
        said = [f"message {n}" for n in range(60)]
        with (
            watching(house, PlatformEventDropped) as watch,
            watching(house, SupervisorReported) as reports,
        ):
            say(house, *said)
            await browser.until(lambda: len(texts(browser)) >= len(said))
        assert texts(browser) == said
        unreadable = [event for event in watch.events if event.reason == "unreadable"]
        assert len(unreadable) >= 10
        assert all(event.platform == "twitch" and event.sample for event in unreadable)
        assert reports.events == []
        assert statuses(browser, mark) == []
        await browser.until(lambda: browser.statistics["total"]["messages"] == len(said))


async def test_events_that_overtake_one_another_are_all_shown_once(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.eventsub.knobs.reorder = 0.5
        said = [f"message {n}" for n in range(40)]
        say(house, *said)
        await browser.until(lambda: len(texts(browser)) >= len(said))
        assert sorted(texts(browser)) == sorted(said)
        assert texts(browser) != said
        # Our own numbers are in the order in which we told it.
        sequence = [event["sequence"] for event in browser.events()]
        assert sequence == sorted(sequence)
        await browser.until(lambda: browser.statistics["total"]["messages"] == len(said))
