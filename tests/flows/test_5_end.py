"""Step 5: the encoder leaves, the clock runs, the show ends; or Stop ends it."""

from pathlib import Path

from ..house import open_house


async def test_stop_removes_the_outputs_and_finishes_the_session(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            session_id = browser.state["session_id"]
            outcome = await browser.done("stop_stream")
            assert outcome["result"]["session_id"] == session_id
            assert await house.outputs() == []
            await browser.until_state("ready")
            told = [event["type"] for event in browser.lifecycle]
            assert told.index("stream_ending") < told.index("output_destroyed")
            assert told.index("output_destroyed") < told.index("stream_ended")
            (show,) = await house.app.storage.streams.recent(browser.user_id, 10)
            assert (show.id, show.phase) == (session_id, "finished")
            assert show.summary["platforms"] == ["twitch"]
            assert browser.destination()["monitor"] == "stopped"


async def test_stop_is_idempotent(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await browser.done("stop_stream")
            await browser.done("stop_stream")
            assert [e["type"] for e in browser.lifecycle].count("stream_ended") == 1


async def test_the_clock_counts_when_the_encoder_leaves_and_stops_when_it_returns(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await house.encoder(False)
            await browser.until(lambda: browser.state["grace_ends_at"])
            assert browser.state["state"] == "streaming"
            await house.encoder(True)
            await browser.until(lambda: browser.state["grace_ends_at"] is None)
            assert browser.state["state"] == "streaming"
            await browser.until(lambda: browser.lifecycle[-1]["type"] == "disconnect_clock_stopped")
            assert "disconnect_clock_started" in [event["type"] for event in browser.lifecycle]


async def test_the_show_ends_when_the_clock_has_run_out(tmp_path: Path) -> None:
    async with open_house(tmp_path, STREAM_DISCONNECT_TIMEOUT="1000") as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await house.encoder(False)
            await browser.until_state("offline")
            assert await house.outputs() == []
            ended = next(e for e in browser.lifecycle if e["type"] == "stream_ended")
            assert ended["reason"] == "encoder_gone"


async def test_a_stop_that_overtakes_a_start_leaves_nothing_behind(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            started = await browser.request(
                "POST", "/api/stream/start", json={"id": "start", "platforms": ["twitch"]}
            )
            stopped = await browser.request("POST", "/api/stream/stop", json={"id": "stop"})
            assert (started.status_code, stopped.status_code) == (202, 202)
            assert (await browser.outcome("stop"))["type"] == "command_done"
            await browser.outcome("start")
            await browser.until_state("ready")
            assert await house.outputs() == []
