"""A bug ends the output manager in the middle of a show: the outputs are neither lost nor left."""

from pathlib import Path

import pytest

from streampai import names

from .stage import crash, fail_once, hears, open_show, server


async def test_the_outputs_outlive_it_and_a_later_stop_removes_them(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        before = [output["uid"] for output in await house.outputs()]
        await crash(house, names.cloudflare_output(browser.user_id))
        assert [output["uid"] for output in await house.outputs()] == before
        assert browser.destination()["output"] == "active"
        assert browser.state["state"] == "streaming"
        await hears(house, browser, "still here")
        await browser.done("stop_stream")
        assert await house.outputs() == []
        await browser.until_state("ready")


async def test_a_destination_that_is_dropped_right_after_is_really_dropped(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        await crash(house, names.cloudflare_output(browser.user_id))
        await browser.done("set_destination", platform="twitch", enabled=False)
        assert await house.outputs() == []
        assert browser.destination()["output"] == "none"
        await browser.done("set_destination", platform="twitch", enabled=True)
        assert len(await house.outputs()) == 1


async def test_a_crash_while_an_output_is_made_is_told_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        manager = server(house, names.user_stream_manager(browser.user_id))
        await browser.done("set_destination", platform="twitch", enabled=False)
        # It is made, and the answer to it breaks the output manager.
        fail_once(monkeypatch, house.app.services.cloudflare, "create_output")
        outcome = await browser.command("set_destination", platform="twitch", enabled=True)
        assert outcome["error"]["code"] == "user_restarting"
        assert outcome["error"]["retryable"]
        assert browser.destination()["output"] == "failed"
        registry = house.app.services.registry
        await browser.until(lambda: registry.lookup(names.cloudflare_output(browser.user_id)))
        await browser.done("retry_destination", platform="twitch")
        assert len(await house.outputs()) == 1
        assert server(house, names.user_stream_manager(browser.user_id)) is manager


async def test_a_crash_while_outputs_are_removed_only_delays_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_show(tmp_path) as (house, browser):
        manager = server(house, names.user_stream_manager(browser.user_id))
        fail_once(monkeypatch, house.app.services.cloudflare, "delete_output")
        await browser.done("stop_stream")
        assert await house.outputs() == []
        await browser.until_state("ready")
        assert server(house, names.user_stream_manager(browser.user_id)) is manager
