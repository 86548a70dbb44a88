"""One Chromium for the folder; a fresh world and a fresh tab for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from .browser import chromium, open_browser
from .harness import Harness, open_harness
from .world import World

DESKTOP: ViewportSize = {"width": 1440, "height": 900}
WAIT = 5_000  # ms; far above what the page takes, for a machine with much else to do


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("Chromium is not installed")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright, open_browser(playwright) as browser:
        yield browser


@attrs.define(eq=False)
class Room:
    """The stream page in a tab, and the world behind it."""

    page: Page
    harness: Harness
    complaints: list[str]

    def __call__(self, testid: str) -> Any:
        return self.page.get_by_test_id(testid)

    def do(self, act: Callable[[World], Any]) -> Any:
        return self.harness.do(act)

    def row(self, event: dict[str, Any]) -> Any:
        return self.page.locator(f'[data-event-id="{event["id"]}"]')

    def commands(self) -> list[tuple[str, dict[str, Any]]]:
        return self.do(lambda world: list(world.commands))


Enter = Callable[..., Room]


@pytest.fixture(scope="session")
def desk(browser: Browser) -> Iterator[BrowserContext]:
    """Where tabs are opened that ask for nothing special; making one takes a while."""
    with browser.new_context(viewport=DESKTOP) as context:
        yield context


@pytest.fixture
def enter(browser: Browser, desk: BrowserContext) -> Iterator[Enter]:
    """Opens the stream page on a world prepared by ``prepare``; nothing may appear in its console."""
    with ExitStack() as stack:
        rooms: list[Room] = []

        def enter(
            prepare: Callable[[World], Any] = lambda world: None,
            *,
            world: World | None = None,
            path: str = "/",
            script: str = "",
            **context: Any,
        ) -> Room:
            harness = stack.enter_context(open_harness(world=world))
            harness.do(prepare)
            tab = desk
            if context:
                tab = stack.enter_context(browser.new_context(**{"viewport": DESKTOP, **context}))
            page = tab.new_page()
            stack.callback(page.close)
            stack.callback(tab.set_offline, False)
            page.set_default_timeout(WAIT)
            room = Room(page, harness, [])
            page.on("console", lambda said: _note(room, said.type, said.text))
            page.on("pageerror", lambda error: room.complaints.append(str(error)))
            if script:
                page.add_init_script(script)
            page.goto(harness.url + path)
            if path == "/" and harness.do(lambda world: world.signed_in):
                expect(room("link")).to_have_attribute("data-state", "connected")
            rooms.append(room)
            return room

        yield enter
        for room in rooms:
            assert room.complaints == []


def _note(room: Room, kind: str, text: str) -> None:
    # What the browser itself says of the line is no fault; the page's words and CSP violations are.
    line = text.startswith(("Failed to load resource", "WebSocket connection to"))
    if kind in ("error", "warning") and not line:
        room.complaints.append(text)
