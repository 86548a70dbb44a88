"""Step 1: the streamer logs in, and that user's tree starts."""

from pathlib import Path

from streampai import names
from streampai.telemetry.events import UserSessionEnded, UserSessionStarted

from ..house import open_house


async def test_logging_in_starts_the_user_s_tree_and_shows_where_the_stream_stands(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            assert browser.state["state"] == "offline"
            assert browser.state["simulated"] is True
            twitch = browser.destination()
            assert (twitch["connected"], twitch["enabled"]) == (True, True)
            assert twitch["monitor"] == "stopped"
            await browser.until(lambda: browser.state["input"]["state"] == "disconnected")
            registry = house.app.services.registry
            user = browser.user_id
            for key in (
                names.user_stream_manager(user),
                names.stream_state(user),
                names.cloudflare_input(user),
                names.cloudflare_output(user),
                names.platform_monitors(user),
            ):
                assert registry.lookup(key) is not None, key
        started = [e for e in house.telemetry if isinstance(e, UserSessionStarted)]
        assert [event.user_id for event in started] == [user]


async def test_closing_one_of_two_tabs_changes_nothing_and_logging_out_stops_the_tree(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            key = names.user_stream_manager(browser.user_id)
            registry = house.app.services.registry
            second = await house.browser()
            second.http.cookies = browser.http.cookies
            async with second.connected():
                pass
            assert registry.lookup(key) is not None
            await browser.request("DELETE", "/api/session")
        assert registry.lookup(key) is None
        ended = [e for e in house.telemetry if isinstance(e, UserSessionEnded)]
        assert [event.reason for event in ended] == ["logged_out"]


async def test_a_full_server_refuses_the_next_user_with_a_typed_error(tmp_path: Path) -> None:
    async with open_house(tmp_path, users=("anna", "ben"), MAX_CONCURRENT_USERS="1") as house:
        anna = await house.browser("anna")
        async with anna.connected():
            ben = await house.stranger()
            answer = await ben.log_in("ben", house.passwords["ben"])
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "too_many_users"
            assert anna.state["state"] == "offline"
