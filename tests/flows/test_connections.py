"""Accounts come, go and are connected anew, also in the middle of a show."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx

from streampai import names
from streampai.platforms.monitor import PlatformMonitor

from ..browser import Browser
from ..house import House, open_house


async def connect(house: House, browser: Browser, login: str) -> str:
    """Log in at Twitch as a person would, by the real code flow; where it ends."""
    begun = await browser.http.get("/connections/twitch/login")
    assert begun.status_code == 302, begun.text
    async with httpx.AsyncClient(trust_env=False) as twitch:
        consent = await twitch.get(f"{begun.headers['location']}&sandbox_login={login}")
    assert consent.status_code == 302, consent.text
    callback = urlsplit(consent.headers["location"])
    ended = await browser.http.get(f"{callback.path}?{callback.query}")
    assert ended.status_code == 302, ended.text
    location: str = ended.headers["location"]
    return location


async def newcomer(house: House) -> Browser:
    """Logged in, and nothing is connected."""
    house.passwords["new"] = "a long password"
    await house.app.storage.users.add("new", "a long password")
    return await house.browser("new")


async def test_a_first_account_is_connected_and_used_in_a_show(tmp_path: Path) -> None:
    async with open_house(tmp_path, users=()) as house:
        browser = await newcomer(house)
        async with browser.connected():
            assert browser.destination()["connected"] is False
            assert await connect(house, browser, "new") == "/?connected=twitch"
            await browser.until(lambda: browser.destination()["connected"])
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True, user="new")
            await browser.until_state("ready")
            await browser.done("start_stream", platforms=["twitch"])
            await browser.until(lambda: browser.destination()["monitor"] == "connected")


async def test_another_account_in_the_middle_of_a_show_is_watched_from_then_on(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            key = names.platform_monitor(browser.user_id, "twitch")
            monitor = house.app.services.registry.lookup(key)
            await connect(house, browser, "somebody_else")
            await browser.until(lambda: browser.destination()["account"].lower() == "somebody_else")
            await browser.until(lambda: house.app.services.registry.lookup(key) is not monitor)
            await browser.until(lambda: browser.destination()["monitor"] == "connected")
            await house.control("/scenarios/chat", user="somebody_else", count=1, text="over here")
            await browser.until(
                lambda: any(
                    e["text"] == "over here" for e in browser.events(kind="chat_message_received")
                )
            )


async def test_the_same_account_again_changes_nothing_in_a_running_show(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            key = names.platform_monitor(browser.user_id, "twitch")
            monitor = house.app.services.registry.lookup(key)
            await connect(house, browser, "demo")
            assert isinstance(monitor, PlatformMonitor)
            assert house.app.services.registry.lookup(key) is monitor
            assert len(await house.outputs()) == 1


async def test_an_account_that_is_disconnected_in_a_show_stops_its_monitor_only(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            answer = await browser.request("DELETE", "/api/connections/twitch")
            assert answer.status_code in (200, 204), answer.text
            await browser.until(lambda: browser.destination()["connected"] is False)
            await browser.until(lambda: browser.destination()["monitor"] == "stopped")
            assert browser.state["state"] == "streaming"
            refused = await browser.try_to(
                "rpc", {"method": "send_chat", "data": {"id": "chat", "text": "hello"}}
            )
            assert refused["error"]["code"] == 425
            await browser.done("stop_stream")
            assert await house.outputs() == []
