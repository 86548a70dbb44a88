"""When a user's tree lives and when it stops."""

from pathlib import Path

import pytest
import trio

from streampai import names
from streampai.livestream import stream_state
from streampai.telemetry.events import UserSessionEnded

from ..browser import PATIENCE
from ..house import House, open_house


def is_up(house: House, user_id: int) -> bool:
    return house.app.services.registry.lookup(names.user_stream_manager(user_id)) is not None


async def until_down(house: House, user_id: int) -> None:
    ended = trio.Event()

    def listen(event: UserSessionEnded) -> None:
        if event.user_id == user_id:
            ended.set()

    house.app.services.telemetry.attach(listen, UserSessionEnded)
    with trio.fail_after(PATIENCE):
        await ended.wait()


async def test_a_tree_stops_a_while_after_the_last_browser_has_left(tmp_path: Path) -> None:
    async with open_house(tmp_path, STREAMPAI_USER_IDLE_TIMEOUT="1000") as house:
        browser = await house.browser()
        async with browser.connected():
            assert is_up(house, browser.user_id)
        assert is_up(house, browser.user_id), "it does not stop at once: a reload is no farewell"
        await until_down(house, browser.user_id)
        assert not is_up(house, browser.user_id)
        ended = [e for e in house.telemetry if isinstance(e, UserSessionEnded)]
        assert [event.reason for event in ended] == ["idle"]
        # The log-in is still good, and the next visit starts the tree again.
        async with browser.connected():
            assert is_up(house, browser.user_id)


async def test_a_tree_never_stops_while_its_show_is_live(tmp_path: Path) -> None:
    async with open_house(
        tmp_path, users=("demo", "idler"), STREAMPAI_USER_IDLE_TIMEOUT="1000"
    ) as house:
        browser, idler = await house.browser(), await house.browser("idler")
        async with browser.connected():
            await house.live(browser)
        async with idler.connected():
            pass
        # The idle user's tree goes, which shows that this one's time has come and gone.
        await until_down(house, idler.user_id)
        assert is_up(house, browser.user_id)
        assert len(await house.outputs()) == 1
        async with browser.connected():
            assert browser.state["state"] == "streaming"
            await browser.done("stop_stream")


async def test_logging_out_in_the_middle_of_a_show_leaves_the_show_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await browser.request("DELETE", "/api/session")
        assert is_up(house, browser.user_id)
        assert len(await house.outputs()) == 1


async def test_statistics_that_were_stored_are_counted_on_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With every batch instead of now and then.
    monkeypatch.setattr(stream_state, "STATISTICS_STORE_INTERVAL", -1.0)
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await house.control("/scenarios/chat", user="demo", count=7, interval=0)
            await browser.until(lambda: browser.statistics["total"]["messages"] == 7)
            session = await house.app.storage.streams.open_session(browser.user_id)
            assert session is not None and session.statistics is not None
            server = house.app.services.registry.lookup(names.stream_state(browser.user_id))
            server.cast_nowait(object())
            await house.control("/scenarios/chat", user="demo", count=3, interval=0)
            await browser.until(lambda: browser.statistics["total"]["messages"] == 10)
            outcome = await browser.done("stop_stream")
            assert outcome["result"]["summary"]["statistics"]["total"]["messages"] == 10


async def test_a_chat_message_whose_fate_is_unknown_is_not_sent_again(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            helix = house.sandbox.faults["helix"]
            helix.on_call("hold", method="POST", path="*/chat/messages", name="sending", seconds=60)
            await browser.ask(
                "rpc", {"method": "send_chat", "data": {"id": "once", "text": "only once"}}
            )
            with trio.fail_after(PATIENCE):
                await helix.holds["sending"].reached.wait()
            manager = house.app.services.registry.lookup(names.user_stream_manager(browser.user_id))
            manager.cast_nowait(object())
            outcome = await browser.outcome("once")
            assert outcome["error"]["code"] == "user_restarting"
            helix.clear()
            # Sent with the same id it does not act a second time.
            await browser.ask(
                "rpc", {"method": "send_chat", "data": {"id": "once", "text": "only once"}}
            )
            await browser.done("send_chat", text="another one")
            texts = [sent["text"] for sent in (await house.books())["twitch"]["sent_chat"]]
            assert texts.count("only once") <= 1
            assert texts[-1] == "another one"
            assert await house.app.storage.intents.open_for(browser.user_id) == []
