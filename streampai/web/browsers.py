"""All browsers that are connected now, and the one task that keeps their time."""

from collections.abc import Iterator

import trio

from .browser import BrowserSession

# Pings, pongs and other deadlines are kept to this, in seconds: one timer for all
# browsers instead of one for each.
TICK = 0.25


class Browsers:
    """Who is here. Everything but ``run`` and ``drained`` is a plain call."""

    def __init__(self, *, per_user: int) -> None:
        self._per_user = per_user
        self._here: dict[str, BrowserSession] = {}
        self._draining = False
        self._left = trio.Event()

    def __len__(self) -> int:
        return len(self._here)

    @property
    def draining(self) -> bool:
        return self._draining

    async def run(self) -> None:
        """Ticks for ever."""
        while True:
            await trio.sleep(TICK)
            now = trio.current_time()
            for browser in list(self._here.values()):
                browser.tick(now)

    async def serve(self, browser: BrowserSession) -> None:
        """Runs the session while it is counted here."""
        if self._draining:
            browser.disconnect(1001)
        self._here[browser.client] = browser
        try:
            await browser.run()
        finally:
            del self._here[browser.client]
            self._left.set()
            self._left = trio.Event()

    def of_user(self, user_id: int, client: str | None = None) -> Iterator[BrowserSession]:
        for browser in list(self._here.values()):
            if browser.user_id == user_id and client in (None, browser.client):
                yield browser

    def end_session(self, session_id: str) -> None:
        """The log-in was ended: its browsers are sent away for good."""
        for browser in list(self._here.values()):
            if browser.session is not None and browser.session.id == session_id:
                browser.disconnect(3500, "logged out")

    def drain(self) -> None:
        """Tell everybody that the server stops; whoever comes now is told at once."""
        self._draining = True
        for browser in list(self._here.values()):
            browser.disconnect(1001)

    async def drained(self) -> None:
        """Returns when nobody is left."""
        while self._here:
            await self._left.wait()

    def admit(self, browser: BrowserSession) -> bool:
        """Whether ``browser``, which is counted already, is one of not too many of its user."""
        user_id = browser.user_id
        return user_id is not None and sum(1 for _ in self.of_user(user_id)) <= self._per_user
