"""A supervisor of a known list of children, started in order and stopped in reverse.

supervisor = Supervisor(
    [ChildSpec(id="store", start=run_store), ChildSpec(id="web", start=run_web)],
    name="app",
    strategy=Strategy.REST_FOR_ONE,
)
await nursery.start(supervisor.run)
"""

import math
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress

import trio

from .backoff import Backoff
from .child import Child
from .child_owner import SlotState
from .child_slot import ChildSlot
from .child_spec import AutoShutdown, ChildSpec, Restart, Strategy
from .declaration import changed_slots, check_child, check_choice, declared
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildError,
    Restarting,
    Running,
    StartFailed,
)
from .report import SupervisorReport
from .supervision import SLICE, Supervision


class Supervisor(Supervision):
    """See the package's guide for what it does; here is what one may ask of it while it runs."""

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        name: str,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        report: Callable[[SupervisorReport], None] | None = None,
    ) -> None:
        super().__init__(
            name=name,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            backoff=backoff,
            report=report,
        )
        check_choice("strategy", strategy, Strategy)
        check_choice("auto_shutdown", auto_shutdown, AutoShutdown)
        self.strategy = strategy
        self.auto_shutdown = auto_shutdown
        self._revival: trio.CancelScope | None = None
        # What is being started in order: those yet to be launched (the next one
        # last), as what, and those that have been, of whom so many have not settled.
        self._to_start: list[ChildSlot] = []
        self._start_as = SlotState.STARTING
        self._coming_up: list[tuple[ChildSlot, Child]] = []
        self._unsettled = 0
        self._did_not_start: tuple[ChildSlot, Child] | None = None
        # What is being stopped in reverse order: those yet to be asked, the one
        # that has been, and how long it may take.
        self._to_stop: list[ChildSlot] = []
        self._being_stopped: ChildSlot | None = None
        self._give_up_at = math.inf
        self._patience: trio.CancelScope
        self._all_stopped: trio.Event
        self._declared = declared(children, auto_shutdown)

    async def start_child(self, spec: ChildSpec) -> Child:
        """Add a child after the others and wait until it is up.

        Raises AlreadyStarted, AlreadyPresent, Restarting, InvalidSpec,
        NotRunning, or StartFailed, after which it is not listed. When
        cancelled, the child is stopped and not listed.
        """
        self._check_spec(spec)
        self._check_running()
        present = self._slots.get(spec.id)
        if present is not None:
            raise _present_error(present)
        slot = self._slots[spec.id] = ChildSlot(spec, self)
        slot.held = True
        try:
            child = await slot.start()
        except (StartFailed, trio.Cancelled):
            self._forget(slot)
            raise
        self._settled(slot)
        return child

    async def terminate_child(self, id: Hashable) -> None:
        """Stop the child, within its grace; then it is listed as stopped, or gone if temporary.

        Also ends a series of restarts. Stopping a stopped one does nothing.
        Raises NotFound, NotRunning. Cancelling takes effect after it is done.
        """
        self._check_running()
        slot = self._slot(id)
        slot.held = True
        # Bounded by the child's grace; half a stop would leave a child nobody gives up on.
        with trio.CancelScope(shield=True):
            await slot.stop()
        await trio.lowlevel.checkpoint()

    async def restart_child(self, id: Hashable) -> Child:
        """Start a stopped child. Raises Running, Restarting, NotFound, NotRunning, StartFailed.

        After StartFailed, or when cancelled, it is listed as stopped.
        """
        self._check_running()
        slot = self._slot(id)
        _check_stopped(slot)
        slot.held = True
        child = await slot.start()
        self._settled(slot)
        return child

    async def delete_child(self, id: Hashable) -> None:
        """Forget a stopped child. Raises Running, Restarting, NotFound, NotRunning."""
        self._check_running()
        slot = self._slot(id)
        _check_stopped(slot)
        self._forget(slot)
        await trio.lowlevel.checkpoint()

    def change(
        self,
        children: Iterable[ChildSpec] | None = None,
        *,
        strategy: Strategy | None = None,
        auto_shutdown: AutoShutdown | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        """Give it other children and flags while it runs; what is left out stays.

        A child that is known gets its new spec, see ``change_child``; a new
        one is listed as stopped until ``restart_child``; one that ``children``
        leave out goes on after the others until it is stopped and deleted.
        Raises InvalidSpec, and Restarting when the strategy would change while
        a child is being restarted by it. Then nothing has changed.
        """
        strategy = strategy or self.strategy
        auto_shutdown = auto_shutdown or self.auto_shutdown
        check_choice("strategy", strategy, Strategy)
        check_choice("auto_shutdown", auto_shutdown, AutoShutdown)
        if strategy is not self.strategy:
            for slot in self._slots.values():
                if slot.state is SlotState.RESTARTING:
                    raise Restarting(slot.spec.id)
        if children is None:
            super().change(max_restarts=max_restarts, max_seconds=max_seconds)
        else:
            specs = declared(children, auto_shutdown)
            slots = changed_slots(self._slots, specs, self)
            super().change(max_restarts=max_restarts, max_seconds=max_seconds)
            self._declared = specs
            if self._room is not None:
                self._slots = slots
                for slot in slots.values():
                    slot.spec = specs.get(slot.spec.id, slot.spec)
        self.strategy, self.auto_shutdown = strategy, auto_shutdown

    def _check_spec(self, spec: ChildSpec) -> None:
        check_child(spec, self.auto_shutdown)

    def _settled(self, slot: ChildSlot) -> None:
        slot.held = False
        if slot.state is SlotState.STOPPED and slot.spec.restart is Restart.TEMPORARY:
            self._forget(slot)

    async def _start_declared(self) -> None:
        for spec in self._declared.values():
            self._slots[spec.id] = ChildSlot(spec, self)
        await self._start_in_order(list(self._slots.values()), SlotState.STARTING)

    async def _start_in_order(self, slots: list[ChildSlot], state: SlotState) -> None:
        """Raises StartFailed. When cancelled, those on their way are stopped first.

        Whoever has come up launches the next one itself: waking up here in
        between would double what starting costs.
        """
        self._to_start = slots[::-1]
        self._start_as = state
        self._coming_up, self._unsettled = [], 0
        self._start_next()
        try:
            while (self._to_start or self._coming_up) and not self._finished:
                self._alarm = trio.Event()
                await self._alarm.wait()
        except trio.Cancelled:
            on_their_way = [slot for slot, _ in self._coming_up]
            self._to_start, self._coming_up, self._did_not_start = [], [], None
            await self._stop_in_reverse(on_their_way)
            raise
        failed, self._did_not_start = self._did_not_start, None
        if failed is not None:
            slot, child = failed
            slot.check_start(child)

    def _start_next(self) -> None:
        """Launch the next one; of those without a handshake all that follow, in slices."""
        while self._to_start and not self._finished:
            slot = self._to_start[-1]
            if self._coming_up and (slot.spec.handshake or len(self._coming_up) == SLICE):
                return
            self._to_start.pop()
            slot.owed = False
            if slot.held or self._slots.get(slot.spec.id) is not slot:
                continue
            if slot.state is SlotState.STOPPED or slot.between_lives:
                child = slot.launch(self._start_as)
                child._on_settled = self._one_settled
                self._coming_up.append((slot, child))
                self._unsettled += 1
                if slot.spec.handshake:
                    return
        if not self._coming_up:
            self._wake()

    def _one_settled(self) -> None:
        self._unsettled -= 1
        if self._unsettled:
            return
        settled, self._coming_up = self._coming_up, []
        for slot, child in settled:
            if not child.started:
                self._did_not_start = slot, child
                self._to_start = []
                break
            if child.up and self._start_as is SlotState.STARTING:
                self.tell("started", child)
            self._settled(slot)
        self._start_next()

    async def _stop_all(self) -> None:
        await self._stop_in_reverse(list(self._slots.values()))

    async def _stop_in_reverse(self, slots: list[ChildSlot]) -> None:
        """Shielded, and bounded by the graces.

        Whoever ends asks the next one itself, and one scope serves until
        somebody overruns: waking up here in between, with a scope for each,
        would double what stopping costs. Its deadline is only ever moved
        forward, which mostly is not at all; too early, it begins another scope.
        """
        self._to_stop = slots
        while slots or self._being_stopped is not None:
            with trio.CancelScope(shield=True, deadline=self._give_up_at) as self._patience:
                self._all_stopped = trio.Event()
                if self._being_stopped is None:
                    self._stop_next()
                await self._all_stopped.wait()
            overrun = self._being_stopped
            if overrun is None or overrun.child is None:
                continue
            if trio.current_time() >= self._give_up_at:
                overrun.give_up(overrun.child)

    def _stop_next(self) -> None:
        self._being_stopped, self._give_up_at = None, math.inf
        if self._patience.cancel_called:
            # The one before ended at its deadline; the next has one of its own.
            return
        while self._to_stop:
            slot = self._to_stop.pop()
            child = slot.ask_to_stop()
            if child is not None and child.outcome is None:
                self._being_stopped = slot
                self._give_up_at = trio.current_time() + slot.grace
                if self._give_up_at < self._patience.deadline:
                    self._patience.deadline = self._give_up_at
                return
        self._all_stopped.set()

    def slot_stopped(self, slot: ChildSlot) -> None:
        super().slot_stopped(slot)
        if slot is self._being_stopped:
            self._stop_next()

    def _finish(self) -> None:
        super()._finish()
        if self._revival is not None:
            self._revival.cancel()

    def _rest(self, slot: ChildSlot) -> None:
        if slot.spec.restart is Restart.TEMPORARY:
            self._forget(slot)

    def _ended_for_good(self, slot: ChildSlot) -> None:
        if not slot.spec.significant or self.auto_shutdown is AutoShutdown.NEVER:
            return
        if self.auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and any(
            other.spec.significant and other.state is not SlotState.STOPPED
            for other in self._slots.values()
        ):
            return
        self._finish()

    def _restart_after(self, slot: ChildSlot, pause: float) -> float | None:
        if self.strategy is Strategy.ONE_FOR_ONE:
            return pause
        slot.due = trio.current_time() + pause
        if self._revival is not None:
            self._revival.cancel()
        self._wake()
        return None

    async def _respond(self) -> None:
        """Restart groups until all of them are up and nobody has failed meanwhile."""
        while self.strategy is not Strategy.ONE_FOR_ONE and not self._finished:
            due = await self._stop_groups_of_failed()
            owed = [slot for slot in self._slots.values() if slot.owed]
            if not owed:
                return
            # Cut short when another one fails: what has been started is then restarted too.
            with trio.CancelScope() as scope:
                self._revival = scope
                await trio.sleep_until(due)
                # One that does not come up counts as failed, unless it was
                # stopped on request; either way the next round sees it.
                with suppress(StartFailed):
                    await self._start_in_order(owed, SlotState.RESTARTING)
            self._revival = None

    async def _stop_groups_of_failed(self) -> float:
        """Mark everyone who is owed a start; when the first may be."""
        slots = list(self._slots.values())
        failed = [n for n, slot in enumerate(slots) if slot.between_lives]
        if not failed:
            return trio.current_time()
        group = slots[0 if self.strategy is Strategy.ONE_FOR_ALL else failed[0] :]
        due = max(slots[n].due for n in failed)
        # A group half stopped would be no group.
        await self._stop_in_reverse([slot for slot in group if not slot.between_lives])
        for slot in group:
            slot.owed = True
        return due


def _present_error(slot: ChildSlot) -> ChildError:
    id = slot.spec.id
    if slot.state is SlotState.RESTARTING:
        return Restarting(id)
    if slot.state is SlotState.STOPPED:
        return AlreadyPresent(id)
    return AlreadyStarted(id, slot.child)


def _check_stopped(slot: ChildSlot) -> None:
    if slot.state is SlotState.RESTARTING:
        raise Restarting(slot.spec.id)
    if slot.state is not SlotState.STOPPED:
        raise Running(slot.spec.id)
