"""SIGKILL at every step of a show: after a restart exactly the wanted outputs exist.

The sandbox holds one exact call of the daemon, before or after its effect; the
daemon is killed there and started again; then the sandbox's own books are read.
"""

from pathlib import Path

import httpx
import pytest
import trio

from streampai.sandbox import Sandbox, open_sandbox

from ..browser import Browser, open_browser
from ..process import Daemon, make_user, open_daemon

pytestmark = pytest.mark.process

OUTPUTS = "*/live_inputs/*/outputs"
ONE_OUTPUT = "*/live_inputs/*/outputs/*"
INPUTS = "*/live_inputs"


def outputs(sandbox: Sandbox) -> list[dict]:
    return [
        output
        for live_input in sandbox.state()["cloudflare"]["inputs"]
        for output in live_input["outputs"]
    ]


def lose_the_store(data: Path) -> None:
    for file in data.glob("*.db*"):
        file.unlink()


async def play_chat(sandbox: Sandbox, *, count: int) -> None:
    async with httpx.AsyncClient(base_url=sandbox.urls["control"], trust_env=False) as http:
        body = {"user": "demo", "count": count, "interval": 0}
        answer = await http.post("/scenarios/chat", json=body)
        assert answer.status_code < 300, answer.text


async def log_in(browser: Browser, password: str) -> Browser:
    answer = await browser.log_in("demo", password)
    assert answer.status_code == 200, answer.text
    return browser


async def reach(sandbox: Sandbox, daemon: Daemon, browser: Browser, phase: str) -> None:
    """Bring the show to ``phase`` over the connected browser."""
    await browser.until(lambda: browser.state["input"]["provisioned"])
    assert sandbox.connect_encoder("demo")
    await browser.until_state("ready")
    if phase in ("streaming", "stopped"):
        await browser.done("start_stream", platforms=["twitch"])
    if phase == "stopped":
        await browser.done("stop_stream")


@pytest.mark.row("X12")
@pytest.mark.parametrize(
    ("phase", "command", "method", "path", "after_effect", "wanted"),
    [
        ("ready", "start_stream", "GET", "/helix/streams/key", False, 1),
        ("ready", "start_stream", "GET", OUTPUTS, False, 1),
        ("ready", "start_stream", "POST", OUTPUTS, False, 1),
        ("ready", "start_stream", "POST", OUTPUTS, True, 1),
        ("streaming", "stop_stream", "DELETE", ONE_OUTPUT, False, 0),
        ("streaming", "stop_stream", "DELETE", ONE_OUTPUT, True, 0),
    ],
    ids=[
        "start-before-the-key-is-known",
        "start-before-the-listing",
        "start-before-the-output-is-created",
        "start-after-the-output-was-created",
        "stop-before-the-output-is-deleted",
        "stop-after-the-output-was-deleted",
    ],
)
async def test_killed_within_a_command_the_next_life_finishes_it(
    tmp_path: Path,
    phase: str,
    command: str,
    method: str,
    path: str,
    after_effect: bool,
    wanted: int,
) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await reach(sandbox, daemon, browser, phase)
                service = sandbox.faults["helix" if "helix" in path else "cloudflare"]
                service.on_call(
                    "hold",
                    method=method,
                    path=path,
                    after_effect=after_effect,
                    name="point",
                    seconds=60,
                )
                data = {"id": "the-command"}
                if command == "start_stream":
                    data["platforms"] = ["twitch"]
                await browser.ask("rpc", {"method": command, "data": data})
                with trio.fail_after(15):
                    await service.holds["point"].reached.wait()
                daemon.kill()
            service.clear()
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await browser.until_state("streaming" if wanted else "ready")
                await browser.until(lambda: len(outputs(sandbox)) == wanted)
                outcome = await browser.outcome("the-command")
                assert outcome["type"] == "command_done"
                if wanted:
                    await browser.until(lambda: browser.destination()["output"] == "active")
                    await browser.until(lambda: browser.destination()["monitor"] == "connected")
                    await browser.done("stop_stream")
                assert outputs(sandbox) == []
            assert len(sandbox.state()["cloudflare"]["inputs"]) == 1


@pytest.mark.row("X12")
@pytest.mark.parametrize("after_effect", [False, True])
async def test_killed_while_the_input_is_made_there_is_one_input_in_the_end(
    tmp_path: Path, after_effect: bool
) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        sandbox.faults["cloudflare"].on_call(
            "hold", method="POST", path=INPUTS, after_effect=after_effect, name="point", seconds=60
        )
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                with trio.fail_after(15):
                    await sandbox.faults["cloudflare"].holds["point"].reached.wait()
                daemon.kill()
        sandbox.faults["cloudflare"].clear()
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await browser.until(lambda: browser.state["input"]["provisioned"])
        assert len(sandbox.state()["cloudflare"]["inputs"]) == 1


@pytest.mark.row("X12")
async def test_killed_in_the_middle_of_a_show_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path,
) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await reach(sandbox, daemon, browser, "streaming")
                await browser.until(lambda: browser.destination()["monitor"] == "connected")
                await play_chat(sandbox, count=10)
                await browser.until(lambda: len(browser.events(kind="chat_message_received")) == 10)
                await browser.until(lambda: browser.statistics["total"]["messages"] == 10)
                session, (output,) = browser.state["session_id"], outputs(sandbox)
                assert sandbox.disconnect_encoder("demo")
                await browser.until(lambda: browser.state["grace_ends_at"])
                deadline = browser.state["grace_ends_at"]
                daemon.kill()
            async with open_daemon(sandbox, tmp_path) as successor:
                browser.url = successor.url
                browser.http.base_url = successor.url
                # The same log-in, and the same page that only reconnects.
                async with browser.connected():
                    await browser.until_state("streaming")
                    assert browser.state["session_id"] == session
                    assert browser.state["grace_ends_at"] == deadline
                    topic = browser.topics[f"platform:twitch:{browser.user_id}"]
                    assert topic.recovered
                    await browser.until(lambda: browser.destination()["monitor"] == "connected")
                    assert [o["uid"] for o in outputs(sandbox)] == [output["uid"]]
                    assert sandbox.connect_encoder("demo")
                    await browser.until(lambda: browser.state["grace_ends_at"] is None)
                    await play_chat(sandbox, count=5)
                    await browser.until(lambda: browser.statistics["total"]["messages"] == 15)
                    ids = [e["id"] for e in browser.events(kind="chat_message_received")]
                    assert len(ids) == len(set(ids)) == 15
                    await browser.done("stop_stream")
                    assert outputs(sandbox) == []


async def test_killed_after_a_stop_nothing_comes_back(tmp_path: Path) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await reach(sandbox, daemon, browser, "stopped")
                daemon.kill()
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await browser.until_state("ready")
                assert outputs(sandbox) == []


async def test_outputs_of_a_user_who_never_comes_back_are_removed_as_well(tmp_path: Path) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await reach(sandbox, daemon, browser, "streaming")
                daemon.kill()
        lose_the_store(tmp_path)
        assert len(outputs(sandbox)) == 1
        async with open_daemon(sandbox, tmp_path):
            with trio.fail_after(15):
                while outputs(sandbox):  # noqa: ASYNC110
                    # The daemon is another process: its deeds are all there is to see.
                    await trio.sleep(0.05)


async def test_an_output_on_our_input_that_storage_does_not_know_is_removed(
    tmp_path: Path,
) -> None:
    async with open_sandbox(base_port=0) as sandbox:
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await reach(sandbox, daemon, browser, "streaming")
                daemon.kill()
        # The store is lost, the outputs are not.
        lose_the_store(tmp_path)
        password = await make_user(sandbox, tmp_path)
        async with open_daemon(sandbox, tmp_path) as daemon, open_browser(daemon.url) as browser:
            await log_in(browser, password)
            async with browser.connected():
                await browser.until_state("ready")
                await browser.until(lambda: outputs(sandbox) == [])
        assert len(sandbox.state()["cloudflare"]["inputs"]) == 1
