"""Two things at once: what was accepted last is what holds, and nobody else is harmed."""

from pathlib import Path
from typing import Any

import pytest
import trio

from streampai import names
from streampai.app import open_application
from streampai.errors import SettingsError, StorageUnavailable
from streampai.livestream.transitions import StreamStatus
from streampai.sandbox import open_sandbox
from streampai.storage import EventRow, Intents

from ..browser import PATIENCE
from ..house import fresh_id, open_house


async def test_many_stops_at_once_end_one_show_and_harm_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            manager = house.app.manager.user(browser.user_id)
            ids = [fresh_id() for _ in range(12)]

            async def stop(command_id: str) -> None:
                answer = await browser.request("POST", "/api/stream/stop", json={"id": command_id})
                assert answer.status_code == 202, answer.text

            async with trio.open_nursery() as nursery:
                for command_id in ids:
                    nursery.start_soon(stop, command_id)
            for command_id in ids:
                assert (await browser.outcome(command_id))["type"] == "command_done"
            assert [e["type"] for e in browser.lifecycle].count("stream_ended") == 1
            assert house.app.manager.user(browser.user_id) is manager


async def test_a_stop_with_nothing_to_stop_does_not_end_the_next_show(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await browser.until(lambda: browser.state["input"]["provisioned"])
            await house.encoder(True)
            await browser.until_state("ready")
            for enabled in (False, True) * 4:
                body = {"method": "set_destination", "data": {"id": fresh_id()}}
                body["data"] |= {"platform": "twitch", "enabled": enabled}
                await browser.ask("rpc", body)
            await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
            start = {"id": "start", "platforms": ["twitch"]}
            await browser.ask("rpc", {"method": "start_stream", "data": start})
            assert (await browser.outcome("stop"))["type"] == "command_done"
            assert (await browser.outcome("start"))["type"] == "command_done"
            assert browser.state["state"] == "streaming"


async def test_a_stop_does_not_wait_for_a_drop_that_cloudflare_holds_up(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            cloudflare = house.sandbox.faults["cloudflare"]
            cloudflare.on_call("status", path="*/outputs*", times=0, status=503)
            drop = {"id": "drop", "platform": "twitch", "enabled": False}
            await browser.ask("rpc", {"method": "set_destination", "data": drop})
            await browser.until(lambda: browser.destination()["output"] == "removing")
            await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
            await browser.until_state("ending")
            cloudflare.clear()
            assert (await browser.outcome("stop"))["type"] == "command_done"
            assert await house.outputs() == []


async def test_a_stop_does_not_wait_for_a_drop_that_is_queued_before_it_either(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            cloudflare = house.sandbox.faults["cloudflare"]
            cloudflare.on_call("status", path="*/outputs*", times=0, status=503)
            for command_id in ("first", "second"):
                drop = {"id": command_id, "platform": "twitch", "enabled": False}
                await browser.ask("rpc", {"method": "set_destination", "data": drop})
            await browser.until(lambda: browser.destination()["output"] == "removing")
            await browser.ask("rpc", {"method": "stop_stream", "data": {"id": "stop"}})
            await browser.until_state("ending")
            assert (await browser.outcome("second"))["error"]["code"] == "ending"
            cloudflare.clear()
            assert (await browser.outcome("stop"))["type"] == "command_done"
            assert await house.outputs() == []


async def test_a_log_out_whose_browser_leaves_half_way_locks_nobody_out(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            user_id = browser.user_id
        manager = house.app.manager
        # Cancelled at the first checkpoint of the stop, as by a request that is gone.
        with trio.CancelScope() as scope:
            scope.cancel()
            await manager.logged_out("some session", user_id)
        assert house.app.services.registry.lookup(names.user_stream_manager(user_id)) is None
        with trio.fail_after(PATIENCE):
            await manager.ensure_user(user_id)


async def test_running_shows_are_taken_up_though_the_server_is_full(tmp_path: Path) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        async with open_house(tmp_path, sandbox=sandbox, users=("anna", "ben")) as house:
            users = [user.id for user in await house.app.storage.users.all()]
            for user_id in users:
                await house.app.storage.streams.begin(user_id, ["twitch"], fresh_id())
        async with open_house(
            tmp_path, sandbox=sandbox, users=(), MAX_CONCURRENT_USERS="1"
        ) as house:
            registry, up = house.app.services.registry, trio.Event()
            keys = [names.user_stream_manager(user_id) for user_id in users]

            def look(change: object = None) -> None:
                if all(registry.lookup(key) is not None for key in keys):
                    up.set()

            registry.listen(look)
            look()
            with trio.fail_after(PATIENCE):
                await up.wait()


async def test_a_show_that_cannot_be_taken_up_keeps_nobody_else_from_starting(
    tmp_path: Path,
) -> None:
    passwords: dict[str, str] = {}
    async with open_sandbox(base_port=0) as sandbox:
        users = ("anna", "ben")
        async with open_house(tmp_path, sandbox=sandbox, users=users, passwords=passwords) as house:
            anna = await house.app.storage.users.by_name("anna")
            assert anna is not None
            show = await house.app.storage.streams.begin(anna.id, ["twitch"], fresh_id())
            topic = names.platform_topic("twitch", anna.id)
            row = EventRow(
                topic=topic,
                offset=1,
                sequence=1,
                event_id="twitch:1",
                kind="chat_message_received",
                occurred_at=show.started_at,
                payload=b"no event at all",
            )
            await house.app.storage.events.position(topic)
            await house.app.storage.events.append(anna.id, show.id, [row])
        async with open_house(tmp_path, sandbox=sandbox, users=(), passwords=passwords) as house:
            ben = await house.browser("ben")
            async with ben.connected():
                assert ben.state["state"] == "offline"


async def test_a_data_directory_has_one_daemon(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        token = (tmp_path / "admin-token").read_text()
        with pytest.raises(SettingsError, match="another daemon"):
            async with open_application(house.app.settings):
                raise AssertionError("two daemons on one store")
        assert (tmp_path / "admin-token").read_text() == token


async def test_a_message_that_is_out_is_not_told_as_failed_by_a_store_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, refusals = Intents.finish, [StorageUnavailable("full")]

    async def finish(self: Intents, *args: Any) -> None:
        if refusals:
            raise refusals.pop()
        await healthy(self, *args)

    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            monkeypatch.setattr(Intents, "finish", finish)
            outcome = await browser.done("send_chat", text="only once")
            assert outcome["result"]["receipts"]["twitch"]["ok"]
            assert refusals == []


async def test_an_output_whose_answer_was_lost_is_not_left_sending_unseen(tmp_path: Path) -> None:
    async with open_house(tmp_path, API_CALL_TIMEOUT="300") as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            await browser.done("set_destination", platform="twitch", enabled=False)
            cloudflare = house.sandbox.faults["cloudflare"]
            cloudflare.on_call("cut", method="POST", path="*/outputs", after_effect=True)
            cloudflare.on_call("status", method="GET", path="*/outputs", nth=2, times=8)
            await browser.command("set_destination", platform="twitch", enabled=True)
            await browser.until(lambda: browser.destination()["output"] == "active")
            assert len(await house.outputs()) == 1
            await browser.until(lambda: browser.destination()["monitor"] == "connected")


async def test_an_encoder_seen_a_moment_ago_does_not_take_a_running_show_back(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            state = house.app.services.registry.lookup(names.stream_state(browser.user_id))
            await state.enter(StreamStatus.READY, only_from=StreamStatus.OFFLINE)
            assert state.snapshot.state is StreamStatus.STREAMING
            assert state.snapshot.session_id == browser.state["session_id"]
