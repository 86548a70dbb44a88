"""What the two supervisors share: running, restarting within limits, giving up, introspection."""

from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar

import attrs
import trio

from .backoff import Backoff
from .child import Child, Outcome, current_child, is_fatal
from .child_owner import SlotState
from .child_slot import ChildSlot
from .child_spec import ChildSpec, Restart
from .declaration import check_same_type
from .errors import NotRunning, SupervisorFailed
from .introspection import Introspection
from .report import ReportKind, SupervisorReport, SupervisorStatistics
from .restart_limit import RestartLimit, check_limit
from .room import current_room, open_room
from .supervision_tree import SupervisorNode, supervision_tree

SelfT = TypeVar("SelfT", bound="Supervision")

# Starting or stopping very many is done in slices, so that others get their turn.
SLICE = 100

# The first restart after a quiet time comes at once; then these waits, doubled
# each time, keep a crash loop, or a start that fails, from eating the processor.
DEFAULT_BACKOFF = (0.05, 5.0)


class Supervision(Introspection):
    """The base of Supervisor and DynamicSupervisor."""

    def __init__(
        self,
        *,
        name: str,
        max_restarts: int,
        max_seconds: float,
        backoff: Backoff | None,
        report: Callable[[SupervisorReport], None] | None,
    ) -> None:
        super().__init__()
        check_limit(max_restarts, max_seconds)
        self.name = name
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._backoff = backoff or Backoff(*DEFAULT_BACKOFF)
        self._report = report
        self._statistics = SupervisorStatistics()
        self._zombies: set[Child] = set()
        self._limit = RestartLimit(max_restarts, max_seconds)
        self._room: trio.Nursery | None = None
        self._task: trio.lowlevel.Task | None = None
        self._context: Context | None = None
        self._stopping = False
        self._finished = False
        self._failure: BaseException | None = None
        self._alarm = trio.Event()

    # Running

    async def run(
        self: SelfT, *, task_status: trio.TaskStatus[SelfT] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the declared children, then keep them running; ``started(self)`` when all are up.

        Raises StartFailed when one of them does not come up, SupervisorFailed
        when children fail too often, and whatever a child raised that is meant
        for the root (KeyboardInterrupt, SystemExit). In any case, and when it
        is cancelled, it first stops all children, each with its grace.
        """
        if self._room is not None:
            raise RuntimeError(f"{self.name} is running already")
        room = current_room()
        if room is not None:
            await self._run_in(room, task_status)
            return
        ending: BaseException | None = None
        async with open_room() as room:
            # Kept out of the nursery, which would put it into a group.
            try:
                await self._run_in(room, task_status)
            except BaseException as error:  # noqa: BLE001 - raised again below
                ending = error
        if ending is not None:
            try:
                raise ending
            finally:
                del ending

    async def _run_in(self, room: trio.Nursery, task_status: trio.TaskStatus[Any]) -> None:
        self._room = room
        self._task = trio.lowlevel.current_task()
        self._context = copy_context()
        around = current_child()
        if around is not None:
            around.supervisors += (self,)
        self._slots = {}
        self._statistics = SupervisorStatistics()
        self._limit = RestartLimit(self.max_restarts, self.max_seconds)
        self._stopping = self._finished = False
        self._failure = None
        try:
            await self._start_declared()
            if not self._finished:
                task_status.started(self)
            await self._supervise()
        finally:
            self._stopping = True
            # Shielded inside, with a deadline for each child: otherwise none
            # would be given its grace, and the order would be lost.
            await self._stop_all()
            self._room = self._task = self._context = None
            # Slots know their supervisor: this would be a cycle for the garbage collector.
            self._slots = {}
            if around is not None:
                around.supervisors = tuple(s for s in around.supervisors if s is not self)
            if self._failure is not None:
                self._raise_failure()

    async def _supervise(self) -> None:
        while not self._finished:
            self._alarm = trio.Event()
            await self._respond()
            if not self._finished:
                await self._alarm.wait()

    async def _start_declared(self) -> None:
        """Nothing by default. Returns early when ``_finish`` is called."""

    async def _respond(self) -> None:
        """To an alarm; nothing by default."""

    async def _stop_all(self) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        self._alarm.set()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None or (is_fatal(error) and not is_fatal(self._failure)):
            self._failure = error
        self._finish()

    def _raise_failure(self) -> NoReturn:
        # Not kept: it would hold its traceback, whose frames hold us.
        failure, self._failure = self._failure, None
        assert failure is not None
        try:
            raise failure
        finally:
            del failure

    def _finish(self) -> None:
        self._finished = True
        self._wake()

    def change(self, *, max_restarts: int | None = None, max_seconds: float | None = None) -> None:
        """Give it other limits while it runs; what is left out stays.

        Restarts of the past count. Raises InvalidSpec, and then changed nothing.
        """
        restarts = self.max_restarts if max_restarts is None else max_restarts
        seconds = self.max_seconds if max_seconds is None else max_seconds
        check_limit(restarts, seconds)
        self.max_restarts, self.max_seconds = restarts, seconds
        self._limit.change(restarts, seconds)
        for slot in self._slots.values():
            if slot.limit is not None:
                slot.limit.change(restarts, seconds)

    def change_child(self, spec: ChildSpec) -> None:
        """Give the child of that id another spec: what is about its end counts at once.

        How it is started counts from its next start. Raises NotFound, and
        InvalidSpec, also for another ``type``; then nothing has changed.
        """
        self._check_spec(spec)
        slot = self._slot(spec.id)
        check_same_type(slot, spec)
        slot.spec = spec

    def _check_spec(self, spec: ChildSpec) -> None:
        raise NotImplementedError

    def statistics(self) -> SupervisorStatistics:
        """A copy of the counters."""
        return attrs.evolve(self._statistics, zombies=len(self._zombies))

    def tree(self) -> SupervisorNode:
        """Itself and everything beneath it, as it is at this moment; see ``supervision_tree``."""
        return supervision_tree(self)

    def _check_running(self) -> None:
        if self._room is None or self._stopping:
            raise NotRunning(self.name)

    def _forget(self, slot: ChildSlot) -> None:
        if self._slots.get(slot.spec.id) is slot:
            del self._slots[slot.spec.id]

    # What the slots call (see child_owner)

    def spawn(self, keeper: Callable[..., Awaitable[Any]], child: Child) -> None:
        assert self._room is not None and self._context is not None
        # Ours, not the caller's: a child started for a web request must not
        # hold on to that request.
        self._context.run(self._room.start_soon, keeper, child, name=child.name)

    def child_ended(self, slot: ChildSlot, child: Child, outcome: Outcome) -> float | None:
        if outcome.error is not None and is_fatal(outcome.error):
            slot.state = SlotState.STOPPED
            self.tell("exited", child, outcome)
            self._fail(outcome.error)
            return None
        if outcome.how == "ignored":
            slot.state = SlotState.STOPPED
            self._rest(slot)
            return None
        self.tell("exited" if child.up else "restart_failed", child, outcome)
        if self._stopping or (child.up and not _to_be_restarted(slot.spec, outcome)):
            slot.state = SlotState.STOPPED
            self._rest(slot)
            self._ended_for_good(slot)
            return None
        pause = self._pause_before_restart(slot, child, outcome)
        if pause is None:
            slot.state = SlotState.STOPPED
            return None
        slot.state = SlotState.RESTARTING
        return self._restart_after(slot, pause)

    def slot_stopped(self, slot: ChildSlot) -> None:
        self._rest(slot)

    def child_up(self, child: Child, restarted: bool) -> None:
        self._statistics.starts += 1
        if restarted:
            self.tell("started", child)

    def tell(
        self, what: ReportKind, child: Child, outcome: Outcome | None = None, delay: float = 0.0
    ) -> None:
        if what == "exited":
            self._statistics.exits += 1
        elif what == "abandoned":
            self._statistics.abandoned += 1
            self._zombies.add(child)
        if self._report is None:
            return
        report = SupervisorReport(
            supervisor=self.name,
            child=child.name,
            what=what,
            reason="" if outcome is None else outcome.reason,
            error=None if outcome is None else outcome.error,
            delay=delay,
        )
        try:
            self._report(report)
        except Exception as error:  # noqa: BLE001 - a listener's fault ends us, but orderly
            self._fail(error)

    def zombie_ended(self, child: Child) -> None:
        self._zombies.discard(child)

    def crash(self, error: BaseException) -> None:
        if self._room is None:
            # Our run() has returned; only the room is left to be told.
            raise error
        self._fail(error)

    # What differs

    def _rest(self, slot: ChildSlot) -> None:
        """A child has ended and will not be started by itself: keep the slot or forget it."""
        raise NotImplementedError

    def _ended_for_good(self, slot: ChildSlot) -> None:
        """A child ended by itself and is not restarted; nothing more by default."""

    def _restart_after(self, slot: ChildSlot, pause: float) -> float | None:
        return pause

    def _pause_before_restart(
        self, slot: ChildSlot, child: Child, outcome: Outcome
    ) -> float | None:
        now = trio.current_time()
        later = slot.spec.restart_later
        limit = self._limit
        slot.fault = outcome.reason
        if later is not None:
            limit = slot.limit = slot.limit or RestartLimit(self.max_restarts, self.max_seconds)
        if not limit.allow(now):
            if later is None:
                self.tell("limit_reached", child, outcome)
                self._fail(SupervisorFailed(self.name, slot.spec.name, outcome.error))
                return None
            limit.clear()
            slot.backoff = None
            slot.due = now + later
            slot.delays += 1
            self.tell("delayed", child, outcome, later)
            self._statistics.restarts += 1
            return later
        if slot.backoff is None or now - slot.last_restart > self.max_seconds:
            slot.backoff = self._backoff.fresh()
            pause = 0.0 if child.up else slot.backoff.next()
        else:
            pause = slot.backoff.next()
        slot.last_restart = slot.due = now + pause
        self._statistics.restarts += 1
        self.tell("restarting", child, outcome, pause)
        return pause


def _to_be_restarted(spec: ChildSpec, outcome: Outcome) -> bool:
    if spec.restart is Restart.PERMANENT:
        return True
    return spec.restart is Restart.TRANSIENT and outcome.to_be_restarted
