"""Step 3: Start Stream: outputs exist, monitors run, the state is streaming."""

from pathlib import Path

from ..house import open_house


async def test_starting_creates_an_output_and_connects_the_monitor(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            assert browser.state["state"] == "streaming"
            assert browser.destination()["output"] == "active"
            (output,) = await house.outputs()
            assert output["platform"] == "twitch"
            books = await house.books()
            kinds = {s["type"] for s in books["twitch"]["subscriptions"]}
            assert {"channel.chat.message", "channel.follow", "channel.raid"} <= kinds
            told = [event["type"] for event in browser.lifecycle]
            assert told.index("stream_starting") < told.index("output_created")
            assert told.index("output_created") < told.index("stream_started")


async def test_the_same_command_twice_starts_once(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            for _ in range(2):
                answer = await browser.request(
                    "POST", "/api/stream/start", json={"id": "once", "platforms": ["twitch"]}
                )
                assert (answer.status_code, answer.json()["accepted"]) == (202, "once")
            await browser.outcome("once")
            assert len(await house.outputs()) == 1
            refused = await browser.request(
                "POST", "/api/stream/start", json={"id": "twice", "platforms": ["twitch"]}
            )
            assert refused.status_code == 409
            assert refused.json()["error"]["code"] == "already_streaming"


async def test_starting_with_nothing_chosen_is_an_error_that_changes_nothing(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            answer = await browser.request("POST", "/api/stream/start", json={"platforms": []})
            assert answer.json()["error"]["code"] == "no_platform_selected"
            assert browser.state["state"] == "ready"
            assert await house.outputs() == []


async def test_when_every_destination_fails_all_is_undone_and_the_reasons_are_told(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            house.sandbox.faults["helix"].on_call("status", path="*/streams/key", status=403)
            outcome = await browser.command("start_stream", platforms=["twitch"])
            assert outcome["type"] == "command_failed"
            assert outcome["error"]["code"] == "all_platforms_failed"
            assert outcome["error"]["details"]["platforms"]["twitch"]["code"] == "platform_refused"
            assert browser.state["state"] == "ready"
            assert browser.destination()["output"] in ("none", "failed")
            assert await house.outputs() == []
            assert await house.app.storage.streams.open_session(browser.user_id) is None
