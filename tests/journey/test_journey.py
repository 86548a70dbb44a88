"""The whole journey: one command, a real Chromium, and a kill -9 in the middle of the show.

``streampai run --sandbox`` is started as a person would start it; all that the
test does besides is what a person does in two browser tabs: the stream page,
and the sandbox's controls.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ..pages.browser import chromium, open_browser

pytestmark = [pytest.mark.browser, pytest.mark.process]

PATIENCE = 20.0


def free_ports(count: int) -> int:
    """The first of ``count`` neighbouring free ports."""
    for first in range(20_000 + os.getpid() % 20_000, 60_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@attrs.define
class Run:
    """``streampai run --sandbox``, again and again over the same data."""

    data: Path
    port: int
    base_port: int
    greeting: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = ["run", "--sandbox", "--port", self.port, "--base-port", self.base_port]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "STREAM_METRICS_BROADCAST_INTERVAL": "200",
        }
        with open(self.data / "daemon.log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streampai", *map(str, command), "--data", str(self.data)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        assert self.greeting, (self.data / "daemon.log").read_text()[-3000:]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM, as systemd does it; the sandbox goes with it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None and self.process.stdout is not None
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.process = None
        return code

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        found = re.search(r"log in as demo with password (\S+)", self.greeting)
        assert found, self.greeting
        return found[1]


@attrs.define
class Controls:
    """The sandbox's other tab."""

    http: httpx.Client

    def post(self, path: str, **body: Any) -> None:
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text

    def encoder(self, connected: bool) -> None:
        self.post("/encoder", user="demo", connected=connected)

    def outputs(self) -> list[dict[str, Any]]:
        (live_input,) = self.http.get("/state").json()["cloudflare"]["inputs"]
        outputs: list[dict[str, Any]] = live_input["outputs"]
        return outputs


@contextmanager
def running(data: Path) -> Iterator[tuple[Run, Controls]]:
    first = free_ports(8)
    run = Run(data, port=first, base_port=first + 1)
    with httpx.Client(base_url=f"http://127.0.0.1:{first + 1}", trust_env=False) as http:
        try:
            run.start()
            yield run, Controls(http)
        finally:
            if run.process is not None:
                run.stop()


@pytest.fixture
def page() -> Iterator[Page]:
    if chromium() is None:
        pytest.skip("Chromium is not installed")
    with (
        sync_playwright() as playwright,
        open_browser(playwright) as browser,
        browser.new_context(viewport={"width": 1440, "height": 900}) as context,
    ):
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        yield page


def until(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)  # another process: there is nothing to wait on but its answer
    return result


def state(page: Page) -> Any:
    return page.get_by_test_id("state")


def chat_ids(page: Page) -> list[str]:
    rows = page.locator('[data-testid="feed"] [data-type="chat_message_received"]')
    ids: list[str] = rows.evaluate_all("rows => rows.map(row => row.dataset.eventId)")
    return ids


def test_the_first_show_from_log_in_to_stop_with_a_kill_in_between(
    tmp_path: Path, page: Page
) -> None:
    with running(tmp_path) as (run, sandbox):
        # Log in: the tree starts, and the page says that the encoder is not in.
        page.goto(run.url)
        page.get_by_label("Name").fill("demo")
        page.get_by_label("Password").fill(run.password)
        page.get_by_role("button", name="Log in").click()
        expect(state(page)).to_have_attribute("data-state", "offline")
        expect(page.get_by_test_id("input-state")).to_have_attribute("data-state", "disconnected")
        expect(page.get_by_test_id("banner-simulated")).to_be_visible()
        expect(page.get_by_test_id("start")).to_be_disabled()

        # The encoder connects: within one poll the page offers Start Stream.
        sandbox.encoder(True)
        expect(state(page)).to_have_attribute("data-state", "ready")
        expect(page.get_by_test_id("start")).to_be_enabled()

        # Start: an output exists at Cloudflare, the Twitch monitor is connected.
        page.get_by_test_id("start").click()
        expect(state(page)).to_have_attribute("data-state", "streaming")
        (output,) = sandbox.outputs()
        assert output["platform"] == "twitch"
        chat = page.get_by_test_id("lamp-twitch-chat")
        expect(chat).to_have_attribute("data-state", "ok")

        # Chat, a follow, a gift bomb and a raid appear, and the numbers move.
        sandbox.post("/scenarios/chat", user="demo", count=8, interval=0)
        until(lambda: len(chat_ids(page)) >= 8, "eight messages on the page")
        sandbox.post("/scenarios/follow", user="demo")
        sandbox.post("/scenarios/gift_bomb", user="demo", count=5)
        sandbox.post("/scenarios/raid", user="demo", viewers=42)
        feed = page.get_by_test_id("feed")
        expect(feed.locator('[data-type="follow_received"]')).to_have_count(1)
        expect(feed.locator('[data-type="raid_received"]')).to_have_count(1)
        expect(page.get_by_test_id("stat-raids")).to_contain_text("1")
        expect(page.get_by_test_id("stat-messages")).to_contain_text("8")
        before = chat_ids(page)
        assert len(before) == len(set(before)) == 8

        # Reload: nothing is missing, nothing is double.
        page.reload()
        until(lambda: len(chat_ids(page)) >= 8, "the messages after a reload")
        assert chat_ids(page) == before

        # The platform cuts the socket: the monitor comes back by itself, the page shows it.
        sandbox.post("/kill-sockets", user="demo")
        expect(feed).to_contain_text("are missing")
        expect(chat).to_have_attribute("data-state", "ok")
        sandbox.post("/scenarios/chat", user="demo", count=2, interval=0)
        until(lambda: len(chat_ids(page)) >= 10, "messages after the cut")

        # The encoder leaves: the clock counts down. Killed now, the next life goes on.
        sandbox.encoder(False)
        clock = page.get_by_test_id("clock")
        expect(clock).to_be_visible()
        run.kill()
        expect(page.get_by_test_id("banner-link")).to_be_visible()
        run.start()
        expect(page.get_by_test_id("banner-link")).to_be_hidden()
        expect(state(page)).to_have_attribute("data-state", "streaming")
        expect(clock).to_be_visible()
        assert [o["uid"] for o in sandbox.outputs()] == [output["uid"]]

        # The encoder is back: the clock stops; the monitors are back as well.
        sandbox.encoder(True)
        expect(clock).to_be_hidden()
        expect(chat).to_have_attribute("data-state", "ok")
        sandbox.post("/scenarios/chat", user="demo", count=3, interval=0)
        until(lambda: len(chat_ids(page)) >= 13, "messages in the second life")
        ids = chat_ids(page)
        assert len(ids) == len(set(ids)) == 13

        # Stop: outputs are gone, the show is over.
        page.get_by_test_id("stop").click()
        page.get_by_test_id("stop-dialog-yes").click()
        expect(state(page)).to_have_attribute("data-state", "ready")
        assert sandbox.outputs() == []
        expect(page.get_by_test_id("summary")).to_be_visible()
        assert run.stop() == 0
