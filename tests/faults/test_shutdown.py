"""SIGTERM: browsers are told, parts stop in reverse start order, the show itself goes on."""

from pathlib import Path
from typing import Any

import pytest
import trio

from streampai import names
from streampai.runtime import RegistryChange
from streampai.sandbox import open_sandbox
from streampai.telemetry.events import BrowserDisconnected

from ..browser import Browser, Gone, open_browser
from ..house import QUICK, House, open_house
from ..process import make_user, open_daemon

GRACE = int(QUICK["STREAMPAI_SHUTDOWN_GRACE"]) / 1000


@pytest.mark.row("X12")
@pytest.mark.process
async def test_sigterm_tells_the_browsers_and_leaves_within_the_grace(tmp_path: Path) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with (
            open_daemon(sandbox, tmp_path) as daemon,
            open_browser(daemon.url) as browser,
            open_browser(daemon.url) as second,
        ):
            for one in (browser, second):
                assert (await one.log_in("demo", password)).status_code == 200
            async with browser.connected(), second.connected():
                await browser.until(lambda: browser.state["input"]["provisioned"])
                assert sandbox.connect_encoder("demo")
                await browser.until_state("ready")
                await browser.done("start_stream", platforms=["twitch"])
                await browser.until(lambda: browser.destination()["monitor"] == "connected")
                (before,) = outputs(sandbox.state())
                daemon.terminate()
                began = trio.current_time()
                for one in (browser, second):
                    with pytest.raises(Gone) as gone:
                        await one.until(lambda: False)
                    assert (gone.value.code, gone.value.reason) == (1001, "shutdown")
                assert await daemon.exit_code() == 0
                assert trio.current_time() - began < GRACE
            # Nobody has ended the show: its output still sends.
            (after,) = outputs(sandbox.state())
            assert after["uid"] == before["uid"]
            assert browser.state["state"] == "streaming"
        log = (tmp_path / "daemon.log").read_text()
        assert "Traceback" not in log
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            assert (await browser.log_in("demo", password)).status_code == 200
            async with browser.connected():
                await browser.until_state("streaming")
                await browser.until(lambda: browser.destination()["monitor"] == "connected")
                await browser.done("stop_stream")
                assert outputs(sandbox.state()) == []


def outputs(books: dict) -> list[dict]:
    return [output for i in books["cloudflare"]["inputs"] for output in i["outputs"]]


@pytest.mark.row("X12")
@pytest.mark.process
async def test_sigterm_does_not_wait_for_an_outage(tmp_path: Path) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            assert (await browser.log_in("demo", password)).status_code == 200
            async with browser.connected():
                await browser.until(lambda: browser.state["input"]["provisioned"])
                # Cloudflare takes every call and answers none.
                cloudflare = sandbox.faults["cloudflare"]
                cloudflare.on_call("hold", times=0, seconds=60, name="silence")
                await cloudflare.holds["silence"].reached.wait()
                daemon.terminate()
                began = trio.current_time()
                assert await daemon.exit_code() == 0
                assert trio.current_time() - began < GRACE
            cloudflare.clear()


@pytest.mark.row("X12")
async def test_browsers_are_told_first_and_parts_stop_in_reverse_start_order(
    tmp_path: Path,
) -> None:
    # What ended, in its order: browsers by their code, parts by their key.
    ends: list[Any] = []
    closed: list[Gone] = []

    def hear(change: RegistryChange) -> None:
        if change.what == "unregistered":
            ends.append(change.key)

    async def watch_the_page(house: House, *, task_status: "trio.TaskStatus[Browser]") -> None:
        browser = await house.browser()
        async with browser.connected():
            await house.live(browser)
            task_status.started(browser)
            with pytest.raises(Gone) as gone:
                await browser.until(lambda: False)
            closed.append(gone.value)

    async with trio.open_nursery() as nursery, open_house(tmp_path) as house:
        user = (await nursery.start(watch_the_page, house)).user_id
        house.app.services.registry.listen(hear)
        house.app.services.telemetry.attach(
            lambda event: ends.append(event.code), BrowserDisconnected
        )
    assert [(gone.code, gone.reason) for gone in closed] == [(1001, "shutdown")]
    assert ends[0] == 1001
    tree = [
        names.stream_state(user),
        names.cloudflare_output(user),
        names.cloudflare_input(user),
        names.platform_monitors(user),
    ]
    assert [key for key in ends if key in tree] == tree[::-1]
    monitor = names.platform_monitor(user, "twitch")
    assert ends.index(monitor) < ends.index(names.cloudflare_input(user))
