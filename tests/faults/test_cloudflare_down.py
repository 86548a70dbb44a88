"""Cloudflare cannot be asked: that says nothing about the encoder, and it is made up for later."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from streampai.runtime import utc_now
from streampai.telemetry.events import InputStatusChecked

from ..house import House, open_house
from .stage import hears, open_show, watching

# How every call can fail without an answer that means anything.
OUTAGES = {
    "503": {"action": "status", "status": 503},
    "html": {"action": "html", "status": 502},
    "html-as-success": {"action": "html", "status": 200},
    "cut": {"action": "cut"},
    "empty": {"action": "empty", "status": 200},
}


def break_cloudflare(house: House, **fault: Any) -> None:
    house.sandbox.faults["cloudflare"].on_call(**fault, times=0)


def mend(house: House) -> None:
    house.sandbox.faults["cloudflare"].clear()


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
async def test_the_input_is_unknown_and_the_show_goes_on(
    tmp_path: Path, outage: dict[str, Any]
) -> None:
    async with open_show(tmp_path) as (house, browser):
        seen = browser.topics[f"user_stream:{browser.user_id}"].data
        mark = len(seen)
        break_cloudflare(house, **outage)
        unknown = await browser.until(
            lambda: browser.state["input"]["state"] == "unknown" and browser.state["input"]
        )
        assert unknown["last_known"] == "connected"
        assert unknown["reason"]
        await hears(house, browser, "still on the air")
        mend(house)
        await browser.until(lambda: browser.state["input"]["state"] == "connected")
        assert {s["state"] for s in seen[mark:]} == {"streaming"}
        assert {s["input"]["state"] for s in seen[mark:]} == {"connected", "unknown"}
        assert {s["grace_ends_at"] for s in seen[mark:]} == {None}
        assert browser.destination()["output"] == "active"
        assert len(await house.outputs()) == 1


async def test_before_a_show_an_outage_takes_no_encoder_away(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            break_cloudflare(house, action="status", status=500)
            await browser.until(lambda: browser.state["input"]["state"] == "unknown")
            assert browser.state["state"] == "ready"
            mend(house)
            await browser.until(lambda: browser.state["input"]["state"] == "connected")
            # As long as nobody can say, an encoder that was not in is not in.
            await house.encoder(False)
            await browser.until_state("offline")
            break_cloudflare(house, action="status", status=500)
            await browser.until(lambda: browser.state["input"]["state"] == "unknown")
            refused = await browser.request(
                "POST", "/api/stream/start", json={"platforms": ["twitch"]}
            )
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "input_unknown"


async def test_a_daemon_that_starts_in_an_outage_makes_the_input_when_it_is_over(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        break_cloudflare(house, action="status", status=503)
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["state"] == "unknown")
            assert browser.state["state"] == "offline"
            assert browser.state["input"]["provisioned"] is False
            mend(house)
            await browser.until(lambda: browser.state["input"]["provisioned"])
        assert len((await house.books())["cloudflare"]["inputs"]) == 1


async def test_the_disconnect_clock_neither_starts_nor_stops_by_not_knowing(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path, STREAM_DISCONNECT_TIMEOUT="1000") as (house, browser):
        await house.encoder(False)
        deadline = await browser.until(lambda: browser.state["grace_ends_at"])
        break_cloudflare(house, action="status", status=503)
        await browser.until(lambda: browser.state["input"]["state"] == "unknown")
        assert browser.state["grace_ends_at"] == deadline
        # It runs out while nobody can say whether the encoder is back.
        await browser.until(lambda: utc_now() > datetime.fromisoformat(deadline))
        with watching(house, InputStatusChecked) as watch:
            await watch.until(lambda event: event.state == "unknown")
        assert browser.state["state"] == "streaming"
        assert browser.state["grace_ends_at"] == deadline
        await house.encoder(True)
        await house.control("/tick", seconds=1)
        mend(house)
        await browser.until(lambda: browser.state["grace_ends_at"] is None)
        assert browser.state["state"] == "streaming"
        assert "stream_ending" not in [event["type"] for event in browser.lifecycle]


async def test_a_stop_stays_ending_until_the_outputs_are_gone(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        break_cloudflare(house, action="status", status=503)
        reply = await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
        assert reply["data"]["accepted"] == "stop"
        # The page says why it takes so long.
        await browser.until(lambda: "still to be removed" in browser.state["reason"])
        assert browser.state["state"] == "ending"
        assert browser.destination()["output"] == "removing"
        assert len(await house.outputs()) == 1
        assert (await house.app.storage.streams.open_session(browser.user_id)) is not None
        refused = await browser.request("POST", "/api/stream/start", json={"platforms": ["twitch"]})
        assert refused.json()["error"]["code"] == "ending"
        mend(house)
        assert (await browser.outcome("stop"))["type"] == "command_done"
        assert await house.outputs() == []
        await browser.until_state("ready")


async def test_a_start_during_an_outage_is_undone_and_says_why(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            cloudflare = house.sandbox.faults["cloudflare"]
            cloudflare.on_call("status", path="*/outputs", status=503, times=0)
            reply = await browser.ask(
                "rpc",
                {"method": "start_stream", "data": {"id": "start", "platforms": ["twitch"]}},
            )
            assert reply["data"]["accepted"] == "start"
            await browser.until(lambda: browser.destination()["output"] == "failed")
            assert browser.destination()["output_code"] == "cloudflare_unavailable"
            mend(house)
            outcome = await browser.outcome("start")
            assert outcome["error"]["code"] == "all_platforms_failed"
            reasons = outcome["error"]["details"]["platforms"]
            assert reasons["twitch"]["code"] == "cloudflare_unavailable"
            assert await house.outputs() == []
            assert browser.state["state"] == "ready"


async def test_the_account_s_limit_blocks_everything_for_as_long_as_it_says(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path) as (house, browser):
        await house.control("/limits", block=1)
        unknown = await browser.until(
            lambda: browser.state["input"]["state"] == "unknown" and browser.state["input"]
        )
        assert unknown["next_check_in"] >= 1
        assert "limit" in unknown["reason"]
        await browser.until(lambda: browser.state["input"]["state"] == "connected")
        assert browser.state["state"] == "streaming"
        assert browser.state["grace_ends_at"] is None
        # Refused once, it did not knock again before the time was over.
        calls = house.sandbox.calls["cloudflare"].calls()
        assert [call.status for call in calls].count(429) == 1
        await browser.done("stop_stream")
        assert await house.outputs() == []
