"""Children that do what a test tells them to."""

from collections.abc import Hashable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from streampai.runtime import ChildSpec, Supervisor, SupervisorReport


class Boom(Exception):
    """The tests' own crash."""


class Actor:
    """The start function of a child, and the strings by which a test moves it.

    ``starts`` counts how often it was begun, ``ups`` how often it came up.
    ``story``, shared by several, says in which order they came up and ended.
    """

    def __init__(self, id: Hashable = "a", story: list[str] | None = None) -> None:
        self.id = id
        self.story = [] if story is None else story
        self.starts = 0
        self.ups = 0
        self.value: object = None
        # What a start does instead of coming up, while it is not None.
        self.refuse: BaseException | None = None
        self.hang = False
        # What is raised in answer to a request to stop.
        self.last_words: BaseException | None = None
        # Seconds it keeps working, shielded, after it was asked to stop.
        self.linger = 0.0
        self._order = trio.Event()
        self._how: BaseException | None = None

    async def __call__(
        self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED
    ) -> None:
        self.starts += 1
        if self.refuse is not None:
            raise self.refuse
        if self.hang:
            await trio.sleep_forever()
        order = self._order = trio.Event()
        self.ups += 1
        self.story.append(f"+{self.id}")
        task_status.started(self.value)
        try:
            await order.wait()
        except trio.Cancelled:
            if self.last_words is not None:
                raise self.last_words from None
            raise
        finally:
            if self.linger:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.linger)
            self.story.append(f"-{self.id}")
        if self._how is not None:
            raise self._how

    def end(self, how: BaseException | None = None) -> None:
        """Make the running one return, or raise ``how``."""
        self._how = how
        self._order.set()

    def crash(self) -> None:
        self.end(Boom(self.id))

    def spec(self, **fields: Any) -> ChildSpec:
        return ChildSpec(id=self.id, start=self, **fields)


class Reports(list[SupervisorReport]):
    """A ``report`` callable that remembers."""

    __call__ = list.append

    def whats(self, child: str | None = None) -> list[str]:
        return [report.what for report in self if child in (None, report.child)]

    def of(self, what: str) -> list[SupervisorReport]:
        return [report for report in self if report.what == what]


def actors(*ids: str) -> tuple[list[str], list[Actor]]:
    """Several with one story."""
    story: list[str] = []
    return story, [Actor(id, story) for id in ids]


@asynccontextmanager
async def running(supervisor: Any, *, stop: bool = True):
    """It runs during the block and is then cancelled; what it raised is in ``.ending``.

    For supervisors that are expected to end by themselves, ``stop=False``.
    """
    run = Run()

    async def keep(*, task_status: Any) -> None:
        try:
            with run.scope:
                await supervisor.run(task_status=task_status)
                run.returned = True
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - for the test
            run.ending = error
        finally:
            run.ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(keep)
        yield run
        if stop:
            run.scope.cancel()
        await run.ended.wait()
        run.seen_through = True
    # A stray cancellation would end the block, and with it the test, in silence.
    assert run.seen_through


class Run:
    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.ending: BaseException | None = None
        self.returned = False
        self.seen_through = False


async def settle() -> None:
    """Until nothing can happen any more unless time passes."""
    await wait_all_tasks_blocked()


def counts(supervisor: Any) -> list[int]:
    """As the conformance list writes them: specs, active, supervisors, workers."""
    c = supervisor.count_children()
    return [c.specs, c.active, c.supervisors, c.workers]


def listed(supervisor: Any) -> dict[Hashable, str]:
    return {info.id: info.status for info in supervisor.which_children()}


def supervisor_of(*specs: ChildSpec, **options: Any) -> Supervisor:
    return Supervisor(specs, name=options.pop("name", "top"), **options)
