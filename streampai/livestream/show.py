"""The life of one user's show: started, changed, stopped, taken up again after a crash.

Everything here is done by the tasks of user_stream_manager/42. The row in
``streams`` is the intent: it is written before anything is done to the outside
world, and whoever starts this tree again reads it and goes on:

    starting    finish the start (it may have been half done)
    streaming   adopt the outputs that exist, create what is missing, run monitors
    ending      finish the stop
    none        nothing of ours may be at the ingest
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import trio

from ..cloudflare import InputState, InputStatus
from ..commands import Command, RetryDestination, SetDestination, StartStream, StopStream
from ..errors import CommandRefused, StreampaiError
from ..events import (
    DisconnectClockStarted,
    DisconnectClockStopped,
    StreamEnded,
    StreamEnding,
    StreamStarted,
    StreamStarting,
)
from ..storage import StreamSession, UnfinishedCommand
from . import transitions
from .accounts import UserAccounts
from .disconnect_clock import DisconnectClock
from .durably import durably
from .services import Services
from .show_outputs import Failures, ShowOutputs
from .state_client import StateClient
from .transitions import StreamStatus
from .user_tree import UserTree
from .wishes import Wishes


class Show:
    """``end_soon(reason, session id)`` is awaited when the show is to end by itself: its wish is stored."""

    def __init__(
        self,
        *,
        user_id: int,
        services: Services,
        wishes: Wishes,
        state: StateClient,
        tree: UserTree,
        accounts: UserAccounts,
        end_soon: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._user_id = user_id
        self._services = services
        self._streams = services.storage.streams
        self._wishes = wishes
        self._state = state
        self._tree = tree
        self._accounts = accounts
        self._end_soon = end_soon
        # Work on outputs that a Stop cuts short: it will remove them all.
        self._work: trio.CancelScope | None = None
        # What a former life of this tree accepted and did not answer.
        self._left_open: list[UnfinishedCommand] = []
        self.outputs = ShowOutputs(
            wishes=wishes,
            state=state,
            tree=tree,
            accounts=accounts,
            repaired=self._start_monitor,
        )

    # --- where it stands, and taking it up again ----------------------------------------

    async def load(self) -> None:
        """Read the open session. Nothing is done to the outside world yet."""
        wishes = self._wishes
        commands = self._services.storage.commands
        self._left_open = await commands.unfinished(self._user_id)
        session = wishes.session = await self._streams.open_session(self._user_id)
        if session is None:
            return
        wishes.grace_ends_at = session.disconnect_deadline
        wishes.starting = session.phase == "starting"
        if session.phase == "streaming":
            self._state.status.value = StreamStatus.STREAMING
            wishes.monitors = {p for p in session.platforms if p in self._accounts.stored}
            await self._tree.listening.load(wishes.monitors, since=session.started_at)
            for platform in session.platforms:
                self._state.destinations[platform].output = "creating"
        elif session.phase == "ending":
            self._state.status.value = StreamStatus.ENDING

    async def resume(self) -> None:
        """Go on where a former life of this tree stopped, then answer its open commands."""
        session = self._wishes.session
        if session is not None and await self._was_to_stop(session):
            await self._end(session, session.reason or "stopped")
        elif session is not None and session.phase == "starting":
            try:
                await self._start(session)
            except StreampaiError as exc:
                await self._answer_open_commands("start_stream", exc)
        else:
            self.outputs.want_repair()
        await self._answer_open_commands()

    async def _was_to_stop(self, session: StreamSession) -> bool:
        """A Stop was accepted, perhaps in the moment before its wish reached the show's row."""
        if session.phase == "ending":
            return True
        if not any(
            command.method == "stop_stream" and command.accepted_at >= session.started_at
            for command in self._left_open
        ):
            return False
        await durably(lambda: self._streams.set_phase(session.id, "ending", "stopped"))
        return True

    async def _answer_open_commands(
        self, only: str | None = None, error: StreampaiError | None = None
    ) -> None:
        """Commands that were accepted and not answered when the tree went down.

        Start and Stop have been finished by now; whether another one was carried out
        is not known, and it is not done twice.
        """
        running = self._wishes.session is not None
        for command in list(self._left_open):
            command_id, name = command.id, command.method
            if only is not None and name != only:
                continue
            self._left_open.remove(command)
            if error is not None:
                await self._state.tell_failed(command_id, name, error)
            elif name == "stop_stream" or (name == "start_stream" and running):
                await self._state.tell_done(command_id, name, {"after_restart": True})
            else:
                await self._state.tell_failed(
                    command_id,
                    name,
                    CommandRefused(
                        "A restart interrupted this; it may have been carried out.",
                        code="user_restarting",
                    ),
                )

    async def follow_input(self, status: InputStatus) -> None:
        """offline ↔ ready, as the encoder comes and goes; a show says itself where it stands."""
        old = self._state.status.value
        new = transitions.follow_input(old, status.state)
        if new is not old and self._wishes.session is None:
            await self._state.enter(new, only_from=old)

    async def foresee(self, command: Command) -> None:
        """Make the wish durable at the moment a command is accepted.

        Raises CommandRefused ``already_streaming``, StorageUnavailable.
        """
        wishes = self._wishes
        match command:
            case StartStream():
                wishes.session = await self._streams.begin(
                    self._user_id, command.platforms, id=uuid4().hex
                )
                wishes.starting = True
            case StopStream() if (session := wishes.session) is not None:
                await self._streams.set_phase(session.id, "ending", "stopped")
                self._will_end(session.id)

    def _will_end(self, session_id: str) -> None:
        """That show is to end: whatever is done to its outputs is of no use any more."""
        session = self._wishes.session
        # It may have ended while its wish was written.
        if session is not None and session.id == session_id:
            self._wishes.stopping = True
            if self._work is not None:
                self._work.cancel()

    # --- start -----------------------------------------------------------------------------

    def check_start(self, command: StartStream) -> None:
        """Raises CommandRefused with a code for each cause."""
        live_input = self._state.live_input.value
        transitions.start(
            self._state.status.value,
            live_input.state,
            starting=self._wishes.starting,
            protocol=live_input.protocol,
            platforms=command.platforms,
            known=self._services.platforms.keys(),
            connected=self._accounts.stored.keys(),
            relogin=self._accounts.relogin,
            max_platforms=self._services.settings.livestream.max_platforms_per_user,
        )

    async def start_stream(self, command: StartStream) -> dict[str, Any]:
        """Raises CommandRefused ``all_platforms_failed`` with the reasons, or ``ending``."""
        session = self._wishes.session
        if session is None or self._wishes.stopping:
            raise CommandRefused("The stream was stopped before it began.", code="ending")
        for platform in self._services.platforms:
            await self._choose(platform, platform in command.platforms)
        return await self._start(session)

    async def _choose(self, platform: str, enabled: bool) -> None:
        destinations = self._services.storage.destinations
        await durably(partial(destinations.set, self._user_id, platform, enabled))
        await self._state.show_destination(platform, enabled=enabled)

    async def _start(self, session: StreamSession) -> dict[str, Any]:
        """Outputs, then monitors, then streaming; or everything undone and the reasons."""
        await self._state.show(busy="starting")
        await self._state.tell(StreamStarting(platforms=session.platforms, **self._state.facts()))
        self.outputs.stop_repairing()
        failed: Failures = {}
        with trio.CancelScope() as self._work:
            failed = await self.outputs.create(session.platforms)
        stopped = self._work.cancelled_caught
        self._work = None
        if not stopped and len(failed) == len(session.platforms):
            await self._undo_start(session, failed)
        # A Stop that was accepted meanwhile has written its wish into the row.
        stopped = stopped or not await durably(
            lambda: self._streams.set_phase(session.id, "streaming")
        )
        self._wishes.starting = False
        await self._state.show(busy="")
        if stopped:
            raise CommandRefused("The stream was stopped while it was starting.", code="ending")
        for platform in session.platforms:
            if platform not in failed:
                await self._start_monitor(platform)
        await self._state.enter(
            StreamStatus.STREAMING,
            StreamStarted(platforms=session.platforms, failed=tuple(failed), **self._state.facts()),
        )
        if any(error.retryable for error in failed.values()):
            self.outputs.want_repair()
        return {"session_id": session.id, "failed": {p: e.as_dict() for p, e in failed.items()}}

    async def _undo_start(
        self, session: StreamSession, failed: Mapping[str, StreampaiError]
    ) -> None:
        """All have failed: leave nothing behind, back to ready, and say why."""
        await self.outputs.destroy()
        await durably(lambda: self._streams.finish(session.id, "all_platforms_failed", {}))
        self._wishes.forget_show()
        await self._state.show(busy="")
        after = transitions.after_ending(self._state.live_input.value.last_known)
        await self._state.enter(after, reason="No destination could be started.")
        reasons = {platform: error.as_dict() for platform, error in failed.items()}
        raise CommandRefused(code="all_platforms_failed", retryable=True, platforms=reasons)

    # --- destinations of a running show -------------------------------------------------------

    def check_destination(self, command: Command, platform: str) -> None:
        """Raises CommandRefused."""
        status: StreamStatus = self._state.status.value
        session = self._wishes.session
        adding = isinstance(command, SetDestination) and command.enabled
        transitions.check_platforms(
            {platform, *session.platforms} if session is not None and adding else {platform},
            known=self._services.platforms.keys(),
            max_platforms=self._services.settings.livestream.max_platforms_per_user,
        )
        if isinstance(command, RetryDestination):
            transitions.retry_destination(status)
        else:
            transitions.change_destination(status)
        if isinstance(command, SetDestination) and not command.enabled:
            return
        transitions.check_account(
            platform, connected=self._accounts.stored.keys(), relogin=self._accounts.relogin
        )

    async def set_destination(self, command: SetDestination) -> dict[str, Any]:
        """Choose or drop; in a running show this takes effect at once. Raises what failed."""
        platform = command.platform
        await self._choose(platform, command.enabled)
        session = self._wishes.session
        if session is None or self._state.status.value is not StreamStatus.STREAMING:
            return {}
        chosen = [p for p in session.platforms if p != platform]
        if command.enabled:
            chosen.append(platform)
        # The wish is stored before anything is done, as for the whole show.
        await durably(lambda: self._streams.set_platforms(session.id, chosen))
        self._wishes.session = attrs.evolve(session, platforms=tuple(chosen))
        if command.enabled:
            return await self._work_on(self._add, platform)
        return await self._work_on(self._drop, platform)

    async def _work_on(
        self, act: Callable[[str], Awaitable[dict[str, Any]]], platform: str
    ) -> dict[str, Any]:
        """``act`` on one destination, unless the end of the show cuts it short or has come first."""
        if self._wishes.stopping:
            raise CommandRefused(code="ending")
        # A repair that is under way still wants what was wanted before.
        left = self.outputs.stop_repairing()
        with trio.CancelScope() as self._work:
            try:
                return await act(platform)
            except StreampaiError as exc:
                # An answer may be lost: what there is at the ingest is looked at again.
                left = left or exc.retryable
                raise
            finally:
                self._work = None
                self.outputs.want_repair(left)
        raise CommandRefused(code="ending")

    async def retry_destination(self, command: RetryDestination) -> dict[str, Any]:
        """Raises what failed again."""
        session = self._wishes.session
        if session is None or command.platform not in session.platforms:
            raise CommandRefused(code="not_streaming")
        if (monitor := self._tree.monitor(command.platform)) is not None:
            monitor.retry_now()
        return await self._work_on(self._add, command.platform)

    async def _add(self, platform: str) -> dict[str, Any]:
        failed = await self.outputs.create([platform])
        if platform in failed:
            raise failed[platform]
        await self._start_monitor(platform)
        return {}

    async def _drop(self, platform: str) -> dict[str, Any]:
        await self._stop_monitors([platform])
        await self.outputs.destroy([platform])
        return {}

    async def _start_monitor(self, platform: str) -> None:
        """Idempotent; an account that has gone meanwhile has nothing to watch."""
        if platform not in self._accounts.stored:
            return
        self._wishes.monitors.add(platform)
        if (monitors := self._tree.monitors()) is not None:
            await monitors.start(platform)

    async def _stop_monitors(self, platforms: Collection[str]) -> None:
        self._wishes.monitors.difference_update(platforms)
        if (monitors := self._tree.monitors()) is not None:
            async with trio.open_nursery() as nursery:
                for platform in platforms:
                    nursery.start_soon(monitors.stop, platform, name=f"stop_monitor/{platform}")
        for platform in platforms:
            self._tree.listening.forget(platform)
            await self._state.show_destination(
                platform, monitor="stopped", monitor_reason="", retry_at=None, live=None
            )

    async def follow_account(self, platform: str) -> None:
        """An account came, went or was connected anew: its monitor follows.

        The output stays, but for somebody else's account, which has another key.
        """
        if platform not in self._wishes.monitors:
            return
        if platform not in self._accounts.stored:
            await self._stop_monitors([platform])
        elif self._tree.watched_account(platform) is self._accounts.account(platform):
            monitor = self._tree.monitor(platform)
            # That a log-in is needed is nothing to try again for.
            if monitor is not None and platform not in self._accounts.relogin:
                monitor.account_changed()
        else:
            # Somebody else's account: the output has that one's key from now on, too. What
            # fails is shown at the destination, with a button to try again.
            with suppress(StreampaiError):
                await self._work_on(self._drop, platform)
                await self._work_on(self._add, platform)

    # --- stop ----------------------------------------------------------------------------------

    async def stop_stream(self, reason: str, session_id: str | None) -> dict[str, Any]:
        """Idempotent: when that show is over, or there was none, it answers at once."""
        session = self._wishes.session
        if session is None or session.id != session_id:
            return {}
        summary = await self._end(session, reason)
        return {"session_id": session.id, "summary": summary}

    async def _end(self, session: StreamSession, reason: str) -> dict[str, Any]:
        """Monitors first, outputs next, the row finished, then offline or ready."""
        self.outputs.stop_repairing()
        self._wishes.starting = False
        ending = StreamEnding(reason=reason, **self._state.facts())
        await self._state.enter(StreamStatus.ENDING, ending, reason=reason)
        await self._stop_monitors(list(self._state.destinations))
        await self.outputs.destroy()
        summary = self._summary(session)
        await durably(lambda: self._streams.finish(session.id, reason, summary))
        ended = StreamEnded(reason=reason, summary=summary, **self._state.facts())
        self._wishes.forget_show()
        after = transitions.after_ending(self._state.live_input.value.last_known)
        await self._state.show(grace_ends_at=None, busy="")
        await self._state.enter(after, ended, reason=reason)
        self._tree.check_input_soon()
        return summary

    def _summary(self, session: StreamSession) -> dict[str, Any]:
        ended_at = self._services.now()
        server = self._state.server
        return {
            "started_at": session.started_at.isoformat(),
            "ended_at": ended_at.isoformat(),
            "seconds": round((ended_at - session.started_at).total_seconds()),
            "platforms": list(session.platforms),
            # It is absent when stream_state has just crashed; the events are all stored.
            "statistics": None if server is None else server.summary(),
        }

    # --- the disconnect clock --------------------------------------------------------------------

    async def run_clock(self) -> None:
        """End the show when its encoder stays away."""
        clock = DisconnectClock(
            status=self._state.status,
            live_input=self._state.live_input,
            timeout=self._services.settings.livestream.disconnect_timeout,
            stored=lambda: self._wishes.grace_ends_at,
            started=self._clock_started,
            stopped=self._clock_stopped,
            expired=self._clock_expired,
            now=self._services.now,
        )
        await clock.run()

    async def _set_deadline(self, session: StreamSession, deadline: datetime | None) -> None:
        await durably(lambda: self._streams.set_deadline(session.id, deadline))
        self._wishes.grace_ends_at = deadline
        await self._state.show(grace_ends_at=deadline)

    async def _clock_started(self, deadline: datetime) -> None:
        session = self._wishes.session
        if session is None:
            return
        taken_up = self._wishes.grace_ends_at is not None
        await self._set_deadline(session, deadline)
        if not taken_up:
            await self._state.tell(DisconnectClockStarted(ends_at=deadline, **self._state.facts()))
        self._tree.check_input_soon()

    async def _clock_stopped(self) -> None:
        session = self._wishes.session
        if session is None:
            return
        await self._set_deadline(session, None)
        if self._state.live_input.value.state is InputState.CONNECTED:
            await self._state.tell(DisconnectClockStopped(**self._state.facts()))

    async def _clock_expired(self) -> None:
        session = self._wishes.session
        if session is not None:
            await durably(lambda: self._streams.set_phase(session.id, "ending", "encoder_gone"))
            self._will_end(session.id)
            await self._end_soon("encoder_gone", session.id)
