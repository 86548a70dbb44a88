"""Step 2: the encoder arrives at the ingest, and the page says so within one poll."""

from pathlib import Path

from ..house import open_house


async def test_the_page_follows_the_encoder_between_offline_and_ready(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            refused = await browser.try_to(
                "rpc",
                {"method": "start_stream", "data": {"id": "early", "platforms": ["twitch"]}},
            )
            assert refused["error"]["code"] in (420, 434)
            await house.encoder(True)
            await browser.until_state("ready")
            assert browser.state["input"]["state"] == "connected"
            assert browser.state["input"]["ingest_url"].startswith("rtmp")
            await house.encoder(False)
            await browser.until_state("offline")


async def test_the_stream_key_is_given_on_demand_only(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            shown = await browser.get("/api/stream/key")
            assert shown["stream_key"]
            assert shown["stream_key"] not in str(await browser.get("/api/stream"))


async def test_a_second_life_of_the_daemon_uses_the_same_input(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
        async with open_house(tmp_path / "other", sandbox=house.sandbox, users=()):
            pass
        books = await house.books()
        assert len(books["cloudflare"]["inputs"]) == 1
