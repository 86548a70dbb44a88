"""A bug ends a whole user's tree: that user is told and the show goes on; nobody else notices."""

from pathlib import Path
from typing import Any

from streampai import names
from streampai.telemetry.events import SupervisorReported

from ..browser import Browser
from ..house import House, open_house
from .stage import crash, hears, open_show, reconnected, server, texts, watching


def interruptions(browser: Browser) -> list[str]:
    """What the page was told, each sentence once."""
    seen = browser.topics[f"user_stream:{browser.user_id}"].data
    sentences: list[str] = []
    for state in seen:
        if not sentences or sentences[-1] != state["interrupted"]:
            sentences.append(state["interrupted"])
    return sentences


def tree(house: House, user_id: int) -> list[Any]:
    return [
        server(house, key)
        for key in (
            names.user_stream_manager(user_id),
            names.stream_state(user_id),
            names.cloudflare_input(user_id),
            names.cloudflare_output(user_id),
            names.platform_monitors(user_id),
            names.platform_monitor(user_id, "twitch"),
        )
    ]


def books(house: House) -> list[Any]:
    """The outputs that the simulated Cloudflare has, of everybody."""
    inputs = house.sandbox.state()["cloudflare"]["inputs"]
    return [output for live_input in inputs for output in live_input["outputs"]]


async def test_another_user_s_show_goes_on_and_that_page_sees_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, users=("anna", "ben")) as house:
        anna, ben = await house.browser("anna"), await house.browser("ben")
        async with anna.connected(), ben.connected():
            for browser, name in ((anna, "anna"), (ben, "ben")):
                await browser.until(lambda b=browser: b.state["input"]["provisioned"])
                await house.encoder(True, user=name)
                await browser.until_state("ready")
                await browser.done("start_stream", platforms=["twitch"])
                await browser.until(lambda b=browser: b.destination()["monitor"] == "connected")
            await ben.until(lambda: ben.destination()["live"])
            before, told, mark = tree(house, ben.user_id), len(ben.lifecycle), len(ben.events())
            await crash(house, names.user_stream_manager(anna.user_id))
            await anna.until(lambda: len(interruptions(anna)) >= 3)
            await hears(house, ben, "undisturbed")
            assert tree(house, ben.user_id) == before
            assert interruptions(ben) == [""]
            assert len(ben.lifecycle) == told
            kinds = {event["type"] for event in ben.events()[mark:]}
            assert kinds <= {"chat_message_received", "viewers_counted"}
            assert ben.state["state"] == "streaming"


async def test_the_show_is_taken_up_again_where_it_stood(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        await hears(house, browser, "one", "two")
        await browser.until(lambda: browser.statistics["total"]["messages"] == 2)
        session = browser.state["session_id"]
        uids = [output["uid"] for output in await house.outputs()]
        mark, before = len(browser.events()), len(browser.topics[f"user_stream:{user}"].data)
        await crash(house, names.user_stream_manager(user))
        await browser.until(lambda: len(interruptions(browser)) >= 3)
        first, second, third = interruptions(browser)
        assert (first, third) == ("", "")
        assert second
        connected = await reconnected(browser, mark)
        assert connected["missed_from"] < connected["missed_until"]
        assert browser.state["session_id"] == session
        await browser.until(lambda: browser.destination()["output"] == "active")
        assert [output["uid"] for output in await house.outputs()] == uids
        states = {s["state"] for s in browser.topics[f"user_stream:{user}"].data[before:]}
        assert states == {"streaming"}
        await hears(house, browser, "three")
        await browser.until(lambda: browser.statistics["total"]["messages"] == 3)
        assert texts(browser) == ["one", "two", "three"]
        await browser.done("stop_stream")
        assert await house.outputs() == []


async def test_past_its_budget_it_comes_back_after_a_while_and_says_so(tmp_path: Path) -> None:
    async with open_show(tmp_path, STREAMPAI_USER_RESTART_DELAY="400") as (house, browser):
        user = browser.user_id
        key = names.user_stream_manager(user)
        uids = [output["uid"] for output in await house.outputs()]
        await crash(house, key, times=3)
        child = names.task_name(key)
        with watching(house, SupervisorReported, lambda e: e.child == child) as watch:
            server(house, key).cast_nowait(object())
            await watch.until(lambda event: event.what == "delayed")
            told = await browser.until(lambda: browser.state["interrupted"])
            assert told == "Restarting in 1 s after repeated faults."
            assert house.app.health()["restarting"] == [user]
            refused = await browser.request("POST", "/api/stream/stop", json={})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "user_restarting"
            await watch.until(lambda event: event.what == "started")
        await browser.until(lambda: browser.state["interrupted"] == "")
        await browser.until(lambda: browser.destination()["monitor"] == "connected")
        assert browser.state["state"] == "streaming"
        assert house.app.health()["restarting"] == []
        assert [output["uid"] for output in await house.outputs()] == uids
        await hears(house, browser, "back")


async def test_a_destination_that_is_dropped_before_the_show_is_whole_again_stays_dropped(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        helix = house.sandbox.faults["helix"]
        # The new tree asks for the key again before it adopts the output.
        helix.on_call("hold", path="*/streams/key", name="key")
        await crash(house, names.user_stream_manager(browser.user_id))
        await helix.holds["key"].reached.wait()
        await browser.ask(
            "rpc",
            {
                "method": "set_destination",
                "data": {"id": "drop", "platform": "twitch", "enabled": False},
            },
        )
        assert (await browser.outcome("drop"))["type"] == "command_done"
        helix.holds["key"].release()
        await browser.until(lambda: not books(house))
        await browser.until(lambda: browser.destination()["output"] == "none")
        assert browser.destination()["monitor"] == "stopped"


async def test_a_command_that_was_under_way_is_answered(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        cloudflare = house.sandbox.faults["cloudflare"]
        cloudflare.on_call("hold", method="DELETE", path="*/outputs/*", name="deleting")
        await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
        await cloudflare.holds["deleting"].reached.wait()
        await crash(house, names.user_stream_manager(user))
        cloudflare.holds["deleting"].release()
        assert (await browser.outcome("stop"))["type"] == "command_done"
        assert await house.outputs() == []
        await browser.until_state("ready")
        (show,) = await house.app.storage.streams.recent(user, 10)
        assert (show.phase, show.reason) == ("finished", "stopped")
