"""The life of one user's show: started, kept, stopped, taken up again after a crash.

Everything here is done by the tasks of user_stream_manager/42; this is its
knowledge of the running show, apart from the tree and the lanes. The row in
``stream_sessions`` is the intent: it is written before anything is done to the
outside world, and whoever starts this tree again reads it and goes on:

    starting    finish the start (it may have been half done)
    streaming   adopt the outputs that exist, create what is missing, run monitors
    ending      finish the stop
    none        nothing of ours may be at the ingest
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import attrs
import trio
from trio_util import AsyncValue

from ..cloudflare import CloudflareOutputManager, InputState, InputStatus
from ..commands import (
    Command,
    RetryDestination,
    SetDestination,
    StartStream,
    StopStream,
)
from ..errors import CommandRefused, RateLimited, StreampaiError
from ..events import (
    CommandDone,
    CommandFailed,
    DisconnectClockStarted,
    DisconnectClockStopped,
    EventsLost,
    LifecycleEvent,
    OutputCreated,
    OutputDestroyed,
    OutputFailed,
    PlatformEvent,
    StreamEnded,
    StreamEnding,
    StreamStarted,
    StreamStarting,
    encode_event,
)
from ..platforms.platform import Destination
from ..runtime import Backoff, NotRunning
from ..storage import StreamSession
from . import transitions
from .disconnect_clock import DisconnectClock
from .durably import durably
from .services import Services
from .snapshot import StreamSnapshot
from .stream_state import StreamStateServer
from .transitions import StreamStatus

if TYPE_CHECKING:
    from .user_manager import UserStreamManager

Answer = TypeVar("Answer")

# Waits between attempts to reach Cloudflare for clean-up or repair; the last one
# repeats until it works, since an output left behind costs money every minute.
RETRY_BASE, RETRY_CAP = 0.5, 30.0


class Show:
    def __init__(self, manager: "UserStreamManager", services: Services) -> None:
        self._manager = manager
        self._services = services
        self._storage = services.storage
        self._now = services.now
        self._user_id = manager.user.id
        self._session: StreamSession | None = None
        self._starting = False
        # A Stop has been accepted and is not done yet.
        self._stopping = False
        self._start_scope: trio.CancelScope | None = None
        self._monitors_wanted: set[str] = set()
        self._wanted: dict[str, Destination] = {}
        self.grace_ends_at: datetime | None = None
        # Whether the outputs may be other than they are wanted.
        self._repair: AsyncValue[bool] = AsyncValue(False)
        self._repair_scope: trio.CancelScope | None = None

    @property
    def running(self) -> bool:
        return self._session is not None

    def wanted_monitors(self) -> Collection[str]:
        return set(self._monitors_wanted)

    def wanted_outputs(self) -> Mapping[str, Destination]:
        return dict(self._wanted)

    def rebuild(self, snapshot: StreamSnapshot) -> None:
        """The show's part of a fresh snapshot."""
        snapshot.busy = "starting" if self._starting else ""
        snapshot.grace_ends_at = self.grace_ends_at
        if self._session is not None:
            snapshot.session_id = self._session.id
            snapshot.started_at = self._session.started_at

    # --- telling ---------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        """The common fields of a lifecycle event."""
        return {
            "user_id": self._user_id,
            "occurred_at": self._now(),
            "session_id": self._session.id if self._session is not None else None,
        }

    async def _tell(self, *events: LifecycleEvent) -> None:
        await self._manager.to_state(lambda state: state.tell(*events))

    async def tell_done(self, command_id: str, name: str, result: Mapping[str, Any]) -> None:
        await self._tell_outcome(
            CommandDone(command_id=command_id, command=name, result=result, **self._facts())
        )

    async def tell_failed(self, command_id: str, name: str, error: StreampaiError) -> None:
        await self._tell_outcome(
            CommandFailed(
                command_id=command_id, command=name, error=error.as_dict(), **self._facts()
            )
        )

    async def _tell_outcome(self, outcome: CommandDone | CommandFailed) -> None:
        await durably(
            lambda: self._storage.commands.finish(
                outcome.command_id, self._user_id, encode_event(outcome)
            )
        )
        await self._tell(outcome)

    async def tell_lost(self, events: Collection[PlatformEvent]) -> None:
        """Name the gap that events leave which could not be handed over."""
        for platform in {event.platform for event in events}:
            times = [event.occurred_at for event in events if event.platform == platform]
            await self._tell(
                EventsLost(
                    platform=platform,
                    count=len(times),
                    missed_from=min(times),
                    missed_until=max(times),
                    **self._facts(),
                )
            )

    # --- where it stands, and taking it up again ----------------------------------------

    async def load(self) -> None:
        """Read the open session. Nothing is done to the outside world yet."""
        session = await self._storage.streams.open_session(self._user_id)
        self._session = session
        if session is None:
            return
        self.grace_ends_at = session.disconnect_deadline
        self._starting = session.phase == "starting"
        if session.phase == "streaming":
            self._manager.status.value = StreamStatus.STREAMING
            self._monitors_wanted = {
                platform
                for platform in session.platforms
                if platform in self._manager.accounts.stored
            }
            await self._manager.listening.load(self._monitors_wanted, since=session.started_at)
            for platform in session.platforms:
                self._manager.destinations[platform].output = "creating"
        elif session.phase == "ending":
            self._manager.status.value = StreamStatus.ENDING

    async def resume(self) -> None:
        """Go on where a former life of this tree stopped, then answer its open commands."""
        session = self._session
        if session is not None and session.phase == "starting":
            try:
                await self._start(session)
            except StreampaiError as exc:
                await self._answer_open_commands("start_stream", exc)
        elif session is not None and session.phase == "ending":
            await self._end(session, session.reason or "stopped")
        else:
            self._repair.value = True
        await self._answer_open_commands()

    async def _answer_open_commands(
        self, only: str | None = None, error: StreampaiError | None = None
    ) -> None:
        """Commands that were accepted and not answered when the tree went down.

        Start and Stop have been finished by now; whether another one was carried out
        is not known, and it is not done twice.
        """
        for command_id, name in await self._storage.commands.unfinished(self._user_id):
            if only is not None and name != only:
                continue
            if error is not None:
                await self.tell_failed(command_id, name, error)
            elif name == "stop_stream" or (name == "start_stream" and self.running):
                await self.tell_done(command_id, name, {"after_restart": True})
            else:
                await self.tell_failed(
                    command_id,
                    name,
                    CommandRefused(
                        "A restart interrupted this; it may have been carried out.",
                        code="user_restarting",
                    ),
                )

    async def follow_input(self, status: InputStatus) -> None:
        """offline ↔ ready, as the encoder comes and goes."""
        old = self._manager.status.value
        new = transitions.follow_input(old, status.state)
        if new is not old and not self._starting:
            await self._manager.to_state(lambda state: state.enter(new))

    # --- start -----------------------------------------------------------------------------

    def check_start(self, command: StartStream) -> None:
        manager, platforms = self._manager, self._services.platforms
        live_input = manager.live_input.value
        transitions.start(
            manager.status.value,
            live_input.state,
            starting=self._starting,
            protocol=live_input.protocol,
            platforms=command.platforms,
            known=platforms.keys(),
            connected=manager.accounts.stored.keys(),
            relogin=manager.accounts.relogin,
            max_platforms=self._services.settings.livestream.max_platforms_per_user,
        )

    async def foresee(self, command: Command) -> None:
        """Make the wish durable at the moment a command is accepted."""
        match command:
            case StartStream():
                self._session = await self._storage.streams.begin(
                    self._user_id, command.platforms, id=uuid4().hex
                )
                self._starting = True
            case StopStream() if self._session is not None:
                await self._storage.streams.set_phase(self._session.id, "ending", "stopped")
                self._stopping = True
                if self._start_scope is not None:
                    self._start_scope.cancel()

    async def start_stream(self, command: StartStream) -> dict[str, Any]:
        session = self._session
        if session is None or self._stopping:
            raise CommandRefused("The stream was stopped before it began.", code="ending")
        for platform in self._services.platforms:
            chosen = platform in command.platforms
            await durably(partial(self._storage.destinations.set, self._user_id, platform, chosen))
            await self._manager.show_destination(platform, enabled=chosen)
        return await self._start(session)

    async def _start(self, session: StreamSession) -> dict[str, Any]:
        """Outputs, then monitors, then streaming; or everything undone and the reasons."""
        await self._manager.to_state(lambda state: state.show(busy="starting"))
        await self._tell(StreamStarting(platforms=session.platforms, **self._facts()))
        self._stop_repairing()
        with trio.CancelScope() as self._start_scope:
            failed = await self._create_outputs(session.platforms)
        stopped = self._start_scope.cancelled_caught
        self._start_scope = None
        if not stopped and len(failed) == len(session.platforms):
            await self._undo_start(session, failed)
        # A Stop that was accepted meanwhile has written its wish into the row.
        stopped = stopped or not await durably(
            lambda: self._storage.streams.set_phase(session.id, "streaming")
        )
        self._starting = False
        if stopped:
            await self._manager.to_state(lambda state: state.show(busy=""))
            raise CommandRefused("The stream was stopped while it was starting.", code="ending")
        for platform in session.platforms:
            if platform not in failed:
                await self._start_monitor(platform)
        started = StreamStarted(platforms=session.platforms, failed=tuple(failed), **self._facts())
        await self._manager.to_state(lambda state: state.show(busy=""))
        await self._manager.to_state(
            lambda state: state.enter(
                StreamStatus.STREAMING,
                started,
                session_id=session.id,
                started_at=session.started_at,
            )
        )
        return {"session_id": session.id, "failed": {p: e.as_dict() for p, e in failed.items()}}

    async def _undo_start(
        self, session: StreamSession, failed: Mapping[str, StreampaiError]
    ) -> None:
        """All have failed: leave nothing behind, back to ready, and say why."""
        await self._destroy_outputs()
        await durably(lambda: self._storage.streams.finish(session.id, "all_platforms_failed", {}))
        self._forget()
        reasons = {platform: error.as_dict() for platform, error in failed.items()}
        await self._manager.to_state(lambda state: state.show(busy=""))
        after = transitions.after_ending(self._manager.live_input.value.last_known)
        await self._manager.to_state(
            lambda state: state.enter(after, reason="No destination could be started.")
        )
        raise CommandRefused(code="all_platforms_failed", retryable=True, platforms=reasons)

    async def _ask_outputs(
        self, ask: Callable[[CloudflareOutputManager], Awaitable[Answer]]
    ) -> Answer:
        """Raises CommandRefused ``user_restarting`` when the output manager ends meanwhile."""
        try:
            return await ask(self._manager.outputs())
        except NotRunning:
            raise CommandRefused(code="user_restarting", retryable=True) from None

    # --- outputs and monitors ------------------------------------------------------------------

    async def _create_outputs(self, platforms: Collection[str]) -> dict[str, StreampaiError]:
        """Ask each platform where to send, create the outputs; the ones that failed, and why."""
        failed: dict[str, StreampaiError] = {}
        wanted: dict[str, Destination] = {}

        async def ask(platform: str) -> None:
            await self._manager.show_destination(
                platform, output="creating", output_code="", output_reason=""
            )
            try:
                account = self._manager.accounts.get(platform)
                wanted[platform] = await account.destination()
            except StreampaiError as exc:
                failed[platform] = exc

        async with trio.open_nursery() as nursery:
            for platform in platforms:
                nursery.start_soon(ask, platform)
        self._wanted.update(wanted)
        if wanted:
            try:
                results = await self._ask_outputs(lambda outputs: outputs.create_outputs(wanted))
            except StreampaiError as exc:
                results = dict.fromkeys(wanted, exc)
            failed |= {p: r for p, r in results.items() if isinstance(r, StreampaiError)}
        for platform in platforms:
            await self._show_output(platform, failed.get(platform))
        return failed

    async def _show_output(self, platform: str, error: StreampaiError | None) -> None:
        if error is None:
            if self._manager.destinations[platform].output != "active":
                await self._manager.show_destination(
                    platform, output="active", output_code="", output_reason=""
                )
                await self._tell(OutputCreated(platform=platform, **self._facts()))
            return
        await self._manager.show_destination(
            platform, output="failed", output_code=error.code, output_reason=error.message
        )
        await self._tell(
            OutputFailed(platform=platform, code=error.code, reason=error.message, **self._facts())
        )

    async def _start_monitor(self, platform: str) -> None:
        self._monitors_wanted.add(platform)
        if (monitors := self._manager.monitors()) is not None:
            await monitors.start(platform)

    async def _stop_monitors(self, platforms: Collection[str]) -> None:
        self._monitors_wanted.difference_update(platforms)
        if (monitors := self._manager.monitors()) is not None:
            async with trio.open_nursery() as nursery:
                for platform in platforms:
                    nursery.start_soon(monitors.stop, platform)
        for platform in platforms:
            self._manager.listening.forget(platform)
            await self._manager.show_destination(
                platform, monitor="stopped", monitor_reason="", retry_at=None, live=None
            )

    async def _destroy_outputs(self, platforms: Collection[str] | None = None) -> None:
        """Destroy outputs and do not come back before they are gone."""
        backoff = Backoff(RETRY_BASE, RETRY_CAP)
        while True:
            try:
                await self._ask_outputs(lambda outputs: outputs.destroy_outputs(platforms))
            except StreampaiError as exc:
                if exc.code == "input_missing":
                    break
                wait = exc.retry_after if isinstance(exc, RateLimited) else backoff.next()
                reason = f"Outputs are still to be removed: {exc.message}"
                await self._manager.to_state(partial(StreamStateServer.show, reason=reason))
                await trio.sleep(wait)
            else:
                break
        gone = self._manager.destinations.keys() if platforms is None else platforms
        for platform in gone:
            self._wanted.pop(platform, None)
            if self._manager.destinations[platform].output != "none":
                await self._manager.show_destination(
                    platform, output="none", output_code="", output_reason=""
                )
                await self._tell(OutputDestroyed(platform=platform, **self._facts()))

    # --- destinations of a running show -------------------------------------------------------

    def check_destination(self, command: Command, platform: str) -> None:
        accounts = self._manager.accounts
        transitions.check_platforms(
            [platform], known=self._services.platforms.keys(), max_platforms=1
        )
        if isinstance(command, RetryDestination):
            transitions.retry_destination(self._manager.status.value)
        else:
            transitions.change_destination(self._manager.status.value)
        if isinstance(command, SetDestination) and not command.enabled:
            return
        transitions.check_account(
            platform, connected=accounts.stored.keys(), relogin=accounts.relogin
        )

    async def set_destination(self, command: SetDestination) -> dict[str, Any]:
        platform = command.platform
        await durably(
            lambda: self._storage.destinations.set(self._user_id, platform, command.enabled)
        )
        await self._manager.show_destination(platform, enabled=command.enabled)
        session = self._session
        if session is None or self._manager.status.value is not StreamStatus.STREAMING:
            return {}
        chosen = [p for p in session.platforms if p != platform]
        if command.enabled:
            chosen.append(platform)
        # The wish is stored before anything is done, as for the whole show.
        await durably(lambda: self._storage.streams.set_platforms(session.id, chosen))
        self._session = attrs.evolve(session, platforms=tuple(chosen))
        # A repair that is under way still wants what was wanted before.
        left = self._stop_repairing()
        try:
            if command.enabled:
                return await self._add(platform)
            await self._stop_monitors([platform])
            await self._manager.show_destination(platform, output="removing")
            await self._destroy_outputs([platform])
        finally:
            self._repair.value = left
        return {}

    async def retry_destination(self, command: RetryDestination) -> dict[str, Any]:
        session = self._session
        if session is None or command.platform not in session.platforms:
            raise CommandRefused(code="not_streaming")
        self._manager.retry_monitor(command.platform)
        return await self._add(command.platform)

    async def _add(self, platform: str) -> dict[str, Any]:
        failed = await self._create_outputs([platform])
        if platform in failed:
            raise failed[platform]
        await self._start_monitor(platform)
        return {}

    # --- stop ----------------------------------------------------------------------------------

    async def stop_stream(self, reason: str) -> dict[str, Any]:
        """Idempotent: with nothing to stop it answers at once."""
        session = self._session
        if session is None:
            return {}
        summary = await self._end(session, reason)
        return {"session_id": session.id, "summary": summary}

    async def _end(self, session: StreamSession, reason: str) -> dict[str, Any]:
        """Monitors first, outputs next, the row finished, then offline or ready."""
        self._stop_repairing()
        ending = StreamEnding(reason=reason, **self._facts())
        self._starting = False
        await self._manager.to_state(
            lambda state: state.enter(
                StreamStatus.ENDING,
                ending,
                reason=reason,
                session_id=session.id,
                started_at=session.started_at,
            )
        )
        await self._stop_monitors(set(self._manager.destinations))
        for platform, destination in self._manager.destinations.items():
            if destination.output != "none":
                await self._manager.show_destination(platform, output="removing")
        await self._destroy_outputs()
        summary = self._summary(session)
        await durably(lambda: self._storage.streams.finish(session.id, reason, summary))
        ended = StreamEnded(reason=reason, summary=summary, **self._facts())
        self._forget()
        after = transitions.after_ending(self._manager.live_input.value.last_known)
        await self._manager.to_state(lambda state: state.show(grace_ends_at=None, busy=""))
        await self._manager.to_state(lambda state: state.enter(after, ended, reason=reason))
        self._manager.check_input_soon()
        return summary

    def _summary(self, session: StreamSession) -> dict[str, Any]:
        ended_at = self._now()
        return {
            "started_at": session.started_at.isoformat(),
            "ended_at": ended_at.isoformat(),
            "seconds": round((ended_at - session.started_at).total_seconds()),
            "platforms": list(session.platforms),
            "statistics": self._manager.statistics_summary(),
        }

    def _forget(self) -> None:
        self._session = None
        self._starting = self._stopping = False
        self.grace_ends_at = None
        self._wanted.clear()
        self._monitors_wanted.clear()

    # --- the disconnect clock --------------------------------------------------------------------

    async def run_clock(self) -> None:
        clock = DisconnectClock(
            status=self._manager.status,
            live_input=self._manager.live_input,
            timeout=self._services.settings.livestream.disconnect_timeout,
            stored=lambda: self.grace_ends_at,
            started=self._clock_started,
            stopped=self._clock_stopped,
            expired=self._clock_expired,
            now=self._now,
        )
        await clock.run()

    async def _set_deadline(self, deadline: datetime | None) -> None:
        if (session := self._session) is not None:
            await durably(lambda: self._storage.streams.set_deadline(session.id, deadline))
        self.grace_ends_at = deadline
        await self._manager.to_state(lambda state: state.show(grace_ends_at=deadline))

    async def _clock_started(self, deadline: datetime) -> None:
        taken_up = self.grace_ends_at is not None
        await self._set_deadline(deadline)
        if not taken_up:
            await self._tell(DisconnectClockStarted(ends_at=deadline, **self._facts()))
        self._manager.check_input_soon()

    async def _clock_stopped(self) -> None:
        if self._session is None:
            return
        await self._set_deadline(None)
        if self._manager.live_input.value.state is InputState.CONNECTED:
            await self._tell(DisconnectClockStopped(**self._facts()))

    async def _clock_expired(self) -> None:
        session = self._session
        if session is not None:
            await durably(
                lambda: self._storage.streams.set_phase(session.id, "ending", "encoder_gone")
            )
            await self._manager.end_show("encoder_gone")

    # --- keeping the outputs as they are wanted -----------------------------------------------------

    async def keep_outputs(self) -> None:
        """After a restart: adopt what exists, create what is missing, delete the rest.

        Tries again until it has worked; a start or a stop takes over from it.
        """
        while True:
            await self._repair.wait_value(True)
            with trio.CancelScope() as self._repair_scope:
                if self._repair.value:
                    await self._reconcile()
                    # Who stopped it has said already whether it is wanted again.
                    if not self._repair_scope.cancel_called:
                        self._repair.value = False
            self._repair_scope = None

    def _stop_repairing(self) -> bool:
        """Whether there was something left to repair."""
        left: bool = self._repair.value
        self._repair.value = False
        if self._repair_scope is not None:
            self._repair_scope.cancel()
        return left

    async def _reconcile(self) -> None:
        backoff = Backoff(RETRY_BASE, RETRY_CAP)
        while True:
            session = self._session
            platforms = session.platforms if session is not None else ()
            try:
                again = await self._reconcile_once(platforms)
            except StreampaiError as exc:
                if exc.code == "input_missing" and not platforms:
                    return
                again = True
                wait = exc.retry_after if isinstance(exc, RateLimited) else backoff.next()
            else:
                wait = backoff.next()
            if not again:
                return
            await trio.sleep(wait)

    async def _reconcile_once(self, platforms: Collection[str]) -> bool:
        """True when something is left to be tried again."""
        again = False
        wanted: dict[str, Destination] = {}
        failed: dict[str, StreampaiError] = {}
        for platform in platforms:
            try:
                wanted[platform] = await self._manager.accounts.get(platform).destination()
            except StreampaiError as exc:
                failed[platform] = exc
                again |= exc.retryable
        self._wanted.update(wanted)
        # While a key is unknown an output cannot be told from a stranger's: delete none.
        results = await self._ask_outputs(
            lambda outputs: outputs.create_outputs(wanted) if failed else outputs.reconcile(wanted)
        )
        for platform, result in results.items():
            if isinstance(result, StreampaiError):
                failed[platform] = result
                again |= result.retryable
        for platform in platforms:
            await self._show_output(platform, failed.get(platform))
        return again
