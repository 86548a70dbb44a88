"""Step 4: during the show everything that the platform reports is on the page, once, in order."""

from pathlib import Path

from ..browser import Seen
from ..house import open_house


async def test_chat_a_follow_a_gift_bomb_and_a_raid_arrive_in_order_and_move_the_numbers(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await house.control("/scenarios/chat", user="demo", count=5, interval=0)
            await browser.until(lambda: len(browser.events(kind="chat_message_received")) >= 5)
            await house.control("/scenarios/follow", user="demo")
            await browser.until(lambda: browser.events(kind="follow_received"))
            await house.control("/scenarios/gift_bomb", user="demo", count=5)
            await browser.until(
                lambda: (
                    [
                        e
                        for e in browser.events(kind="subscription_received")
                        if e["kind"] == "gift_received"
                    ].__len__()
                    == 5
                )
            )
            await house.control("/scenarios/raid", user="demo", viewers=42)
            await browser.until(lambda: browser.events(kind="raid_received"))
            await browser.until(lambda: browser.statistics["total"]["raiders"] == 42)
            total = browser.statistics["total"]
            assert total["messages"] == len(browser.events(kind="chat_message_received"))
            assert (total["follows"], total["gifted"], total["raids"]) == (1, 5, 1)
            sequence = [event["sequence"] for event in browser.events()]
            assert sequence == sorted(sequence)
            ids = [event["id"] for event in browser.events()]
            assert len(ids) == len(set(ids))


async def test_a_reloaded_page_misses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await house.control("/scenarios/chat", user="demo", count=20, interval=0)
            await browser.until(lambda: len(browser.events(kind="chat_message_received")) >= 20)
            before = [event["id"] for event in browser.events()]
            browser.topics = {}
        async with browser.connected():
            after = [event["id"] for event in browser.events()]
            assert [known for known in after if known in before] == before
            assert len(after) == len(set(after))
            assert browser.state["state"] == "streaming"


async def test_a_browser_that_was_away_gets_exactly_what_it_missed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser, witness = await house.browser(), await house.browser()
        async with witness.connected():
            async with browser.connected():
                await house.live(browser)
            await house.control("/scenarios/chat", user="demo", count=30, interval=0)
            await witness.until(lambda: len(witness.events(kind="chat_message_received")) >= 30)
            async with browser.connected():
                topic: Seen = browser.topics[f"platform:twitch:{browser.user_id}"]
                assert topic.recovered
                assert len(browser.events(kind="chat_message_received")) >= 30


async def test_a_message_we_send_is_delivered_and_comes_back_once(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            outcome = await browser.done("send_chat", text="Hello everybody", platforms=["twitch"])
            sent = outcome["result"]["receipts"]["twitch"]
            assert sent["ok"]

            def echoes() -> list[object]:
                return [
                    event
                    for event in browser.events(kind="chat_message_received")
                    if event["message_id"] == sent["message_id"]
                ]

            await browser.until(echoes)
            assert len(echoes()) == 1
            books = await house.books()
            assert [m["text"] for m in books["twitch"]["sent_chat"]] == ["Hello everybody"]


async def test_the_title_is_changed_at_the_platform_with_a_receipt(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            outcome = await browser.done("edit_metadata", title="A new title")
            assert outcome["result"]["receipts"]["twitch"]["ok"]
            await browser.until(lambda: browser.state["metadata"]["title"] == "A new title")
            changed = await browser.until(lambda: browser.events(kind="metadata_changed"))
            assert changed[-1]["title"] == "A new title"


async def test_viewers_are_shown_with_their_age(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await browser.until(lambda: browser.statistics["total"]["viewers_now"] is not None)
            assert browser.statistics["total"]["viewers_at"]
            await browser.until(lambda: browser.destination()["live"] is True)


async def test_a_destination_can_be_dropped_and_added_while_live(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await browser.done("set_destination", platform="twitch", enabled=False)
            assert await house.outputs() == []
            assert browser.state["state"] == "streaming"
            await browser.until(lambda: browser.destination()["monitor"] == "stopped")
            await browser.done("set_destination", platform="twitch", enabled=True)
            assert len(await house.outputs()) == 1
            await browser.until(lambda: browser.destination()["monitor"] == "connected")
