"""Supervisor and DynamicSupervisor against a model that keeps a list of children.

The model says what each request must answer, who runs afterwards, how often
each has come up, and when the supervisor must give up.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from streampai.runtime import (
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    DynamicSupervisor,
    MaxChildren,
    NotFound,
    NotRunning,
    Restart,
    Running,
    Shutdown,
    StartFailed,
    Strategy,
    Supervisor,
    SupervisorFailed,
)

from .actor import Actor, Boom, Reports, listed, running
from .machine import ScriptedMachine, examples

IDS = "abcd"
SECONDS = 5.0
# After everything that happens so much time passes that all restarts have been made.
STEP = 0.01
QUICK = Backoff(1e-6, 1e-6)

ids = st.sampled_from(IDS)
ends = st.sampled_from(["normal", "shutdown", "again", "crash"])


@attrs.define
class Known:
    """A child as the model knows it, in start order."""

    id: str
    restart: Restart
    runs: bool = True
    # Stopped on request: left alone by restarts of its group.
    held: bool = False


class Children(ScriptedMachine):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.ups = dict.fromkeys(IDS, 0)
        self.now = 0.0
        self.restarts: list[float] = []
        self.first_limit = self.max_restarts = 3
        self.failed = False
        self.actors: dict[str, Actor] = {}
        self.supervisor: Any = None
        self.handles: dict[str, Any] = {}

    def make(self) -> Any:
        raise NotImplementedError

    async def play(self) -> None:
        self.actors = {id: Actor(id) for id in IDS}
        self.supervisor = self.make()
        async with running(self.supervisor, stop=not self.failed) as run:
            await self.act()
        assert isinstance(run.ending, SupervisorFailed) is self.failed
        assert all(actor.story.count(f"-{id}") == self.ups[id] for id, actor in self.actors.items())

    # The model's part of a step

    def run_ids(self) -> list[str]:
        return [id for id, known in self.known.items() if known.runs]

    def up(self, id: str) -> None:
        self.known[id].runs = True
        self.ups[id] += 1

    def count_restart(self) -> bool:
        """Whether one more is allowed."""
        self.restarts = [t for t in self.restarts if t >= self.now - SECONDS] + [self.now]
        return len(self.restarts) <= self.max_restarts

    def give_up(self) -> None:
        self.failed = True
        for known in self.known.values():
            known.runs = False

    def forget_stopped_temporaries(self) -> None:
        for known in list(self.known.values()):
            if not known.runs and known.restart is Restart.TEMPORARY:
                del self.known[known.id]

    # The real part of a step

    def ask(self, error: type[Exception] | None, request: Callable[[], Awaitable[object]]) -> None:
        expected = NotRunning if self.failed else error

        async def step() -> None:
            if expected is None:
                await request()
            else:
                with pytest.raises(expected):
                    await request()

        self.then(step)
        self.check()

    def check(self) -> None:
        """Let a moment pass; then everything must be as the model says by now."""
        self.now += STEP
        failed = self.failed
        expected = {known.id: known.runs for known in reversed(self.known.values())}
        ups = dict(self.ups)

        async def step() -> None:
            await trio.sleep(STEP)
            found = listed(self.supervisor)
            if failed:
                assert "running" not in found.values()
                return
            told = {id: "running" if runs else "stopped" for id, runs in expected.items()}
            assert list(found.items()) == list(told.items())
            assert {id: actor.ups for id, actor in self.actors.items()} == ups
            counted = self.supervisor.count_children()
            assert (counted.specs, counted.active) == (len(told), sum(expected.values()))

        self.then(step)

    @rule(seconds=st.sampled_from([1.0, 2.5, SECONDS + 0.1]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

        async def step() -> None:
            await trio.sleep(seconds)

        self.then(step)

    def end(self, id: str, how: str) -> None:
        errors = {
            "normal": None,
            "shutdown": Shutdown("done"),
            "again": Shutdown("again", restart=True),
            "crash": Boom(id),
        }

        async def step() -> None:
            self.actors[id].end(errors[how])

        self.then(step)

    def is_restarted(self, id: str, how: str) -> bool:
        match self.known[id].restart:
            case Restart.PERMANENT:
                return True
            case Restart.TRANSIENT:
                return how in ("again", "crash")
        return False


class Declared(Children):
    """A Supervisor."""

    strategy = Strategy.ONE_FOR_ONE

    @initialize(
        strategy=st.sampled_from(Strategy),
        max_restarts=st.integers(0, 4),
        declared=st.lists(st.tuples(ids, st.sampled_from(Restart)), unique_by=lambda d: d[0]),
    )
    def declare(self, strategy: Strategy, max_restarts: int, declared: Any) -> None:
        self.strategy, self.max_restarts = strategy, max_restarts
        self.first_limit = max_restarts
        self.declared = declared
        for id, restart in declared:
            self.known[id] = Known(id, restart)
            self.up(id)
        self.check()

    def make(self) -> Supervisor:
        return Supervisor(
            [self.actors[id].spec(restart=restart) for id, restart in self.declared],
            name="top",
            strategy=self.strategy,
            max_restarts=self.first_limit,
            max_seconds=SECONDS,
            backoff=QUICK,
            report=Reports(),
        )

    @rule(id=ids, restart=st.sampled_from(Restart), refuses=st.booleans())
    def start(self, id: str, restart: Restart, refuses: bool) -> None:
        known = self.known.get(id)
        error: type[Exception] | None = None
        if known is not None:
            error = AlreadyStarted if known.runs else AlreadyPresent
        elif refuses:
            error = StartFailed
        elif not self.failed:
            self.known[id] = Known(id, restart)
            self.up(id)

        async def request() -> None:
            actor = self.actors[id]
            actor.refuse = Boom("refuses") if refuses else None
            try:
                await self.supervisor.start_child(actor.spec(restart=restart))
            finally:
                actor.refuse = None

        self.ask(error, request)

    @rule(id=ids)
    def terminate(self, id: str) -> None:
        known = self.known.get(id)
        if known is not None:
            known.runs, known.held = False, True
            self.forget_stopped_temporaries()
        self.ask(
            None if known is not None else NotFound, lambda: self.supervisor.terminate_child(id)
        )

    @rule(id=ids)
    def restart(self, id: str) -> None:
        known = self.known.get(id)
        error = NotFound if known is None else Running if known.runs else None
        if error is None and not self.failed:
            self.known[id].held = False
            self.up(id)
        self.ask(error, lambda: self.supervisor.restart_child(id))

    @rule(id=ids)
    def delete(self, id: str) -> None:
        known = self.known.get(id)
        error = NotFound if known is None else Running if known.runs else None
        if error is None and not self.failed:
            del self.known[id]
        self.ask(error, lambda: self.supervisor.delete_child(id))

    @precondition(lambda self: self.run_ids())
    @rule(data=st.data(), how=ends)
    def ends_by_itself(self, data: st.DataObject, how: str) -> None:
        id = data.draw(st.sampled_from(self.run_ids()))
        self.end(id, how)
        if not self.is_restarted(id, how):
            self.known[id].runs = False
            self.forget_stopped_temporaries()
        elif not self.count_restart():
            self.give_up()
        else:
            self.restart_group_of(id)
        self.check()

    def restart_group_of(self, id: str) -> None:
        order = list(self.known)
        match self.strategy:
            case Strategy.ONE_FOR_ONE:
                group = [id]
            case Strategy.ONE_FOR_ALL:
                group = order
            case Strategy.REST_FOR_ONE:
                group = order[order.index(id) :]
        for member in group:
            known = self.known[member]
            if member != id and known.restart is Restart.TEMPORARY:
                # Stopped with its group, and never started again.
                del self.known[member]
            elif not known.held:
                self.up(member)

    @rule(max_restarts=st.integers(0, 4))
    def change_the_limit(self, max_restarts: int) -> None:
        self.max_restarts = max_restarts

        async def step() -> None:
            self.supervisor.change(max_restarts=max_restarts)

        self.then(step)


class Dynamic(Children):
    """A DynamicSupervisor."""

    limit: int | None = None

    @initialize(limit=st.none() | st.integers(0, 3), max_restarts=st.integers(0, 4))
    def options(self, limit: int | None, max_restarts: int) -> None:
        self.limit, self.max_restarts = limit, max_restarts
        self.first_limit = max_restarts

    def make(self) -> DynamicSupervisor:
        return DynamicSupervisor(
            name="top",
            max_children=self.limit,
            max_restarts=self.first_limit,
            max_seconds=SECONDS,
            backoff=QUICK,
        )

    @rule(id=ids, restart=st.sampled_from(Restart), refuses=st.booleans())
    def start(self, id: str, restart: Restart, refuses: bool) -> None:
        error: type[Exception] | None = None
        if id in self.known:
            error = AlreadyStarted
        elif self.limit is not None and len(self.known) >= self.limit:
            error = MaxChildren
        elif refuses:
            error = StartFailed
        elif not self.failed:
            self.known[id] = Known(id, restart)
            self.up(id)

        async def request() -> None:
            actor = self.actors[id]
            actor.refuse = Boom("refuses") if refuses else None
            try:
                self.handles[id] = await self.supervisor.start_child(actor.spec(restart=restart))
            finally:
                actor.refuse = None

        self.ask(error, request)

    @rule(id=ids)
    def terminate(self, id: str) -> None:
        known = self.known.pop(id, None)
        self.ask(None if known else NotFound, lambda: self.supervisor.terminate_child(id))

    @precondition(lambda self: self.run_ids())
    @rule(data=st.data(), how=ends)
    def ends_by_itself(self, data: st.DataObject, how: str) -> None:
        id = data.draw(st.sampled_from(self.run_ids()))
        self.end(id, how)
        generation = self.ups[id]
        if not self.is_restarted(id, how):
            del self.known[id]
        elif not self.count_restart():
            self.give_up()
        else:
            self.up(id)
        restarted = self.ups[id] > generation
        self.check()

        async def stale_handles_address_nobody() -> None:
            stale = self.handles[id]
            assert not stale.running
            if restarted:
                with pytest.raises(NotFound):
                    await self.supervisor.terminate_child(stale)
                self.handles[id] = self.supervisor.child(id)

        self.then(stale_handles_address_nobody)


TestDeclared = Declared.TestCase
TestDeclared.settings = examples(50)
TestDynamic = Dynamic.TestCase
TestDynamic.settings = examples(30)
