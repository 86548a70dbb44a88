"""Stories played on the sandbox: a show, a raid, a gift bomb, a storm of chat, a lost encoder.

A story is given by name and parameters. The short ones have happened when
``play`` returns; the long ones go on in a task of their own.
"""

from typing import Any

import attrs
import trio

from .long_stories import LongStories, Telling
from .short_stories import ShortStories
from .story_parameters import Parameters, ScenarioError
from .twitch_models import Channel
from .twitch_state import TwitchState

# Stories at once; more is a mistake in a script.
MAX_RUNNING = 50


@attrs.define(eq=False)
class Story:
    number: int
    name: str
    user: str
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Scenarios:
    """Who asks for ``play`` needs ``run`` to be running: it owns the stories' tasks."""

    def __init__(self, twitch: TwitchState, short: ShortStories, long: LongStories) -> None:
        self._twitch = twitch
        self._short = short.table
        self._long = long.table
        self._nursery: trio.Nursery | None = None
        self._number = 0
        self.running: dict[int, Story] = {}

    @property
    def names(self) -> list[str]:
        return [*self._short, *self._long]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The owner of the long stories' tasks; cancelling it ends them."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def play(self, name: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """Play a story. ``user`` is a Twitch login; left out, the only one that is connected.

        Raises ScenarioError for an unknown story, user or parameter.
        """
        given = dict(parameters or {})
        channel = self._channel(str(given.get("user") or ""))
        if name in self._short:
            result = self._short[name](channel, given)
            return {"story": name, "user": channel.owner.login, "result": result}
        if name not in self._long:
            raise ScenarioError(f"no such scenario; there are {', '.join(self.names)}")
        if self._nursery is None or len(self.running) >= MAX_RUNNING:
            raise ScenarioError("too many scenarios at once")
        telling = self._long[name](channel, given)
        self._number += 1
        story = Story(self._number, name, channel.owner.login)
        self.running[story.number] = story
        self._nursery.start_soon(self._tell, story, telling, name=f"sandbox/story/{name}")
        return {"story": name, "user": channel.owner.login, "number": story.number}

    def stop(self, number: int | None = None) -> int:
        """End one running story, or all."""
        chosen = [s for s in self.running.values() if number in (None, s.number)]
        for story in chosen:
            story.scope.cancel()
        return len(chosen)

    async def _tell(self, story: Story, telling: Telling) -> None:
        try:
            with story.scope:
                await telling()
        finally:
            del self.running[story.number]

    def _channel(self, login: str) -> Channel:
        if login:
            return self._twitch.channel(self._twitch.user(login))
        connected = self._twitch.authorised()
        if len(connected) != 1:
            raise ScenarioError("name a user: not exactly one has connected")
        return self._twitch.channel(connected[0])
