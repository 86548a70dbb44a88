"""What the state machines share. Few examples by default; many:

pytest tests/runtime -k machine --hypothesis-profile many
"""

from collections.abc import Awaitable, Callable

import trio
import trio.testing
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

Step = Callable[[], Awaitable[object]]


def examples(few: int) -> settings:
    """To be set as a machine's ``TestCase.settings``."""
    many = settings.get_current_profile_name() == "many"
    return settings(
        max_examples=2000 if many else few,
        stateful_step_count=60 if many else 30,
        deadline=None,
    )


class ScriptedMachine(RuleBasedStateMachine):
    """Its rules know from the model alone what must happen, and write it down.

    When all of them have been drawn, the script is played on the real thing in
    one run of Trio, on a clock that jumps. That needs no second event loop
    beside Hypothesis', and a failure shrinks like any other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Step] = []

    def then(self, step: Step) -> None:
        self.script.append(step)

    async def play(self) -> None:
        """To be overridden: sets up, calls ``act``, tears down."""
        await self.act()

    async def act(self) -> None:
        for step in self.script:
            await step()

    def teardown(self) -> None:
        trio.run(self.play, clock=trio.testing.MockClock(autojump_threshold=0))
