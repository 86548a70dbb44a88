"""Twitch does not accept our tokens or our pace: renewed when that helps, told when it does not."""

import time
from pathlib import Path

import pytest
import trio

from streampai.telemetry.events import ApiCallFinished, InputStatusChecked, TokenRefreshed

from ..browser import Browser
from ..house import House, open_house
from .stage import at, hears, open_show, reconnected, statuses, watching


async def log_in_again(house: House, browser: Browser) -> None:
    """The streamer's own way: to Twitch's page, consent, and back."""
    away = await browser.http.get("/connections/twitch/login")
    assert away.status_code in (302, 303), away.text
    consent = f"{away.headers['location']}&sandbox_login=demo"
    back = await house.http.get(consent)
    answer = await browser.http.get(back.headers["location"])
    assert answer.status_code in (200, 302, 303), answer.text


def viewers_asked(call: ApiCallFinished) -> bool:
    return call.operation == "get_streams"


@pytest.mark.parametrize("refresh", ["same", "new", "replace"])
async def test_a_token_that_ends_in_the_middle_of_a_show_is_renewed_without_a_word(
    tmp_path: Path, refresh: str
) -> None:
    async with open_show(tmp_path) as (house, browser):
        house.sandbox.twitch.knobs.refresh = refresh
        mark = at(browser)
        for _ in range(2):
            with watching(house, TokenRefreshed) as watch:
                await house.control("/tokens", user="demo", action="expire")
                refreshed = await watch.until()
                assert refreshed.outcome == "renewed"
                with watching(house, ApiCallFinished, viewers_asked) as calls:
                    # The call that was refused is made again, and all later ones go through.
                    await calls.until(count=2)
                assert {call.status for call in calls.events} == {200}
            assert len(watch.events) == 1
        await hears(house, browser, "nothing happened")
        assert statuses(browser, mark) == []
        # What Twitch gave last is what the next life of the daemon begins with.
        account = await house.app.storage.accounts.get(browser.user_id, "twitch")
        assert account is not None
        assert not account.relogin
        assert house.sandbox.twitch.token(account.tokens.access.reveal()) is not None


async def test_a_renewal_that_fails_for_a_while_is_no_reason_to_ask_the_streamer(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        oauth = house.sandbox.faults["oauth"]
        oauth.on_call("status", method="POST", path="*/token", status=503, times=1)
        mark = at(browser)
        with watching(house, TokenRefreshed) as watch:
            await house.control("/tokens", user="demo", action="expire")
            await watch.until(lambda event: event.outcome == "failed")
            await hears(house, browser, "the socket needs no token")
            await watch.until(lambda event: event.outcome == "renewed")
        assert not browser.destination()["relogin"]
        assert "relogin_needed" not in statuses(browser, mark)


async def test_a_definite_refusal_is_shown_and_a_new_log_in_mends_it(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        mark = at(browser)
        house.sandbox.twitch.knobs.refuse_refresh = True
        await house.control("/tokens", user="demo", action="expire")
        house.sandbox.eventsub.cut("demo")
        await browser.until(lambda: browser.destination()["monitor"] == "relogin_needed")
        await browser.until(lambda: browser.destination()["relogin"])
        assert browser.destination()["monitor_reason"]
        # The show itself needs no token of Twitch's.
        assert browser.state["state"] == "streaming"
        assert len(await house.outputs()) == 1
        account = await house.app.storage.accounts.get(browser.user_id, "twitch")
        assert account is not None
        assert account.relogin
        assert account.reason
        refused = await browser.command("send_chat", text="hello", platforms=["twitch"])
        receipt = refused["error"]["details"]["platforms"]["twitch"]
        assert receipt["code"] == "token_expired"
        house.sandbox.twitch.knobs.refuse_refresh = False
        await log_in_again(house, browser)
        connected = await reconnected(browser, mark)
        assert connected["missed_from"] < connected["missed_until"]
        await browser.until(lambda: not browser.destination()["relogin"])
        await hears(house, browser, "back again")


async def test_without_the_streamer_s_consent_there_is_no_knocking(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await house.control("/tokens", user="demo", action="revoke")
        await browser.until(lambda: browser.destination()["monitor"] == "relogin_needed")
        await browser.until(lambda: browser.destination()["relogin"])
        asked, mark = house.sandbox.calls["twitch"].total, at(browser)
        # Whole rounds of everything else the daemon does go by.
        with watching(house, InputStatusChecked) as watch:
            await watch.until(count=6)
        assert house.sandbox.calls["twitch"].total == asked
        assert house.sandbox.eventsub.open_sessions() == []
        assert statuses(browser, mark) == []
        await browser.done("stop_stream")
        assert await house.outputs() == []


async def test_a_start_with_an_account_that_needs_a_log_in_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            await house.app.storage.accounts.mark(
                browser.user_id, "twitch", relogin=True, reason="revoked"
            )
            manager = house.app.manager.user(browser.user_id)
            await manager.account_changed("twitch")
            await browser.until(lambda: browser.destination()["relogin"])
            refused = await browser.request(
                "POST", "/api/stream/start", json={"platforms": ["twitch"]}
            )
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "token_expired")


async def test_a_limited_rate_is_waited_for_and_asked_again(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        helix = house.sandbox.faults["helix"]
        helix.on_call(
            "status", path="*/streams", status=429, headers=limit_headers(seconds=1), times=1
        )
        mark = at(browser)
        with watching(house, ApiCallFinished, viewers_asked) as watch:
            await watch.until(lambda call: call.status == 429)
            refused_at = trio.current_time()
            await watch.until(lambda call: call.status == 200)
        assert trio.current_time() - refused_at >= 0.5
        assert statuses(browser, mark) == []
        outcome = await browser.command("send_chat", text="and this goes through")
        assert outcome["type"] == "command_done"


async def test_a_limited_rate_while_connecting_delays_the_monitor_by_as_long_as_told(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        helix = house.sandbox.faults["helix"]
        helix.on_call(
            "status",
            method="POST",
            path="*/eventsub/subscriptions",
            status=429,
            headers=limit_headers(seconds=1),
            times=3,
        )
        mark = at(browser)
        house.sandbox.eventsub.cut("demo")
        await reconnected(browser, mark)
        await hears(house, browser, "through the needle's eye")
        assert browser.destination()["monitor"] == "connected"


def limit_headers(*, seconds: float) -> tuple[tuple[str, str], ...]:
    """As Helix says it: nothing left, and when that will be over."""
    return (
        ("Ratelimit-Limit", "800"),
        ("Ratelimit-Remaining", "0"),
        ("Ratelimit-Reset", str(int(time.time() + seconds))),
    )
