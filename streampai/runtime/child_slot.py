"""A child's place in its supervisor: it starts, keeps, restarts and stops one child.

The task of a slot is its keeper. It runs the child's function, asks the
supervisor what to do when that has ended, waits, and runs it again; so a
restart needs no other task and no new one.
"""

import math

import trio

from .backoff import Backoff
from .child import Child, Outcome, enter_child, is_fatal, outcome_of_error
from .child_owner import Owner, SlotState
from .child_spec import IGNORE, ChildSpec, ChildType
from .errors import CallsItself, Shutdown, StartFailed
from .restart_limit import RestartLimit
from .room import enter_room

# With no grace a cancelled child still needs a few passes of the scheduler to
# unwind; one that needs longer is doing things it was not given time for.
UNWINDING_TIME = 0.1


class _Handshake:
    """The ``task_status`` a child is given. Good for one call."""

    __slots__ = ("_child", "_slot")

    def __init__(self, slot: "ChildSlot", child: Child) -> None:
        self._slot: ChildSlot | None = slot
        self._child: Child | None = child

    def started(self, value: object = None) -> None:
        slot, child = self._slot, self._child
        if slot is None or child is None:
            raise RuntimeError("called 'started' twice on the same task status")
        self.retire()
        slot._came_up(child, value)

    def retire(self) -> None:
        # The frames of a failed child hold this, and its handle holds its error with the frames.
        self._slot = self._child = None


class ChildSlot:
    """All state changes are plain calls; only waiting for them is async."""

    __slots__ = (
        "_keeper",
        "_owner",
        "_pause",
        "backoff",
        "child",
        "delays",
        "due",
        "fault",
        "generation",
        "held",
        "known",
        "last_restart",
        "limit",
        "owed",
        "spec",
        "state",
    )

    def __init__(self, spec: ChildSpec, owner: Owner) -> None:
        self.spec = spec
        self.state = SlotState.STOPPED
        self.child: Child | None = None
        # The last handle that was given out; it still names a child being restarted.
        self.known: Child | None = None
        self.generation = 0
        # Not to be started but on request: stopped on request, or not up yet after one.
        self.held = False
        # Its group is being restarted and its turn is yet to come.
        self.owed = False
        self.backoff: Backoff | None = None
        self.last_restart = -math.inf
        self.limit: RestartLimit | None = None
        # When the next start may be.
        self.due = 0.0
        # What the last life ended with that was not the last, and how often
        # such an end used up the budget and the next life had to wait.
        self.fault = ""
        self.delays = 0
        self._owner = owner
        self._pause: trio.CancelScope | None = None
        self._keeper: trio.lowlevel.Task | None = None

    @property
    def between_lives(self) -> bool:
        """Waiting for the next start, with no child at all."""
        return self.state is SlotState.RESTARTING and (
            self.child is None or self.child.outcome is not None
        )

    def launch(self, state: SlotState = SlotState.STARTING) -> Child:
        """Begin to start it. ``state`` says how that is to be called."""
        self.state = state
        child = self._successor()
        with_room = self.spec.type is ChildType.SUPERVISOR
        self._owner.spawn(self._keep_with_room if with_room else self._keep, child)
        return child

    async def start(self, state: SlotState = SlotState.STARTING) -> Child:
        """Start it and wait until it is up. Raises StartFailed. See ``settle``."""
        return await self.settle(self.launch(state))

    async def settle(self, child: Child) -> Child:
        """Wait until the launched child is up, ignored or failed; the last raises StartFailed.

        When cancelled, the child is stopped first: nothing is left behind.
        """
        try:
            await child._settled()
        except trio.Cancelled:
            # Bounded by the child's grace, after which it is abandoned.
            with trio.CancelScope(shield=True):
                await self.stop()
            raise
        self.check_start(child)
        return child

    def check_start(self, child: Child) -> None:
        """Raises StartFailed if the child, which has settled, neither is up nor had nothing to run."""
        if child.started:
            return
        cause = child.outcome.error if child.outcome is not None else None
        raise StartFailed(self.spec.id, cause or Shutdown("it was stopped before it was up"))

    async def stop(self) -> None:
        """Stop it whatever it is doing, within its grace. Afterwards it is not ours any more.

        To be called shielded, so that giving it up is not forgotten.
        """
        if self._keeper is trio.lowlevel.current_task():
            raise CallsItself(self.spec.name)
        child = self.ask_to_stop()
        if child is not None:
            with trio.move_on_after(self.grace):
                await child.wait()
            self.give_up(child)

    @property
    def grace(self) -> float:
        return self.spec.shutdown or UNWINDING_TIME

    def ask_to_stop(self) -> Child | None:
        """The child to wait for; None when there is nothing to wait for."""
        child = self.child
        if child is None or self.state is SlotState.STOPPED:
            return None
        if self.between_lives:
            self.state = SlotState.STOPPED
            if self._pause is not None:
                self._pause.cancel()
            self._owner.slot_stopped(self)
            return None
        if self.state is not SlotState.STOPPING:
            self.state = SlotState.STOPPING
            child._ask_to_stop()
        return child

    def give_up(self, child: Child) -> None:
        """Its grace is over: if it has not ended, it is a zombie and no longer ours."""
        if child.outcome is not None:
            return
        outcome = Outcome("abandoned")
        child._end(outcome)
        self._keeper = None
        self._owner.tell("abandoned", child, outcome)
        if self.child is child:
            self.state = SlotState.STOPPED
            self._owner.slot_stopped(self)
        child._tell_settled()

    def _successor(self) -> Child:
        self.generation += 1
        self.child = Child(self.spec.id, self.spec.name, self.generation, self._owner)
        return self.child

    async def _keep_with_room(self, child: Child) -> None:
        async with trio.open_nursery() as room:
            enter_room(room)
            await self._keep(child)
        enter_room(None)

    async def _keep(self, child: Child) -> None:
        owner = self._owner
        try:
            while True:
                # It may have been changed since the last time.
                spec = self.spec
                handshake = _Handshake(self, child)
                self._keeper = trio.lowlevel.current_task()
                enter_child(child)
                try:
                    with child._scope:
                        if spec.handshake:
                            await spec.start(task_status=handshake)
                        else:
                            self._came_up(child, None)
                            await spec.start(task_status=trio.TASK_STATUS_IGNORED)
                except BaseException as error:  # noqa: BLE001 - every end is an outcome
                    # A Cancelled gets here only if it is none of ours: ours stop at the
                    # scope, and no other can enter it. It is a crash like any other.
                    # This frame is cut off lest error, outcome and frame hold each other.
                    tb = error.__traceback__
                    outcome = outcome_of_error(error.with_traceback(tb.tb_next if tb else None))
                    del tb
                else:
                    outcome = self._outcome_of_return(child)
                handshake.retire()
                pause = self._after(child, outcome)
                child._tell_settled()
                if pause is None:
                    return
                if pause > 0:
                    # Only asking the slot to stop ends it early; see Child._scope.
                    with trio.CancelScope(shield=True) as self._pause:
                        await trio.sleep(pause)
                    self._pause = None
                if self.child is not child or self.state is not SlotState.RESTARTING:
                    return
                child = self._successor()
        except BaseException as error:  # noqa: BLE001 - a fault of the runtime must reach run()
            owner.crash(error)

    def _outcome_of_return(self, child: Child) -> Outcome:
        if child.outcome is None and not child.up and self.state is not SlotState.STOPPING:
            if child.asked:
                return Outcome("ignored")
            return Outcome("error", RuntimeError("returned without calling task_status.started()"))
        if child._scope.cancelled_caught:
            return Outcome("shutdown" if self.spec.shutdown else "killed")
        return Outcome("normal")

    def _came_up(self, child: Child, value: object) -> None:
        if child.asked:
            return
        if value is IGNORE:
            child._ask_to_stop()
            return
        child._come_up(value)
        self.known = child
        restarted = self.state is SlotState.RESTARTING
        self.state = SlotState.RUNNING
        self._owner.child_up(child, restarted)
        child._tell_settled()

    def _after(self, child: Child, outcome: Outcome) -> float | None:
        if child.outcome is not None:
            self._owner.zombie_ended(child)
            if outcome.error is not None and is_fatal(outcome.error):
                self._owner.crash(outcome.error)
            return None
        self._keeper = None
        child._end(outcome)
        if self.state is SlotState.STOPPING:
            self.state = SlotState.STOPPED
            self._owner.tell("exited", child, outcome)
            self._owner.slot_stopped(self)
            if outcome.error is not None and is_fatal(outcome.error):
                self._owner.crash(outcome.error)
            return None
        if self.state is SlotState.STARTING:
            # Whoever asked for it is told by settle().
            self.state = SlotState.STOPPED
            if outcome.error is not None and is_fatal(outcome.error):
                self._owner.crash(outcome.error)
            return None
        return self._owner.child_ended(self, child, outcome)
