"""livestream_manager: admits users and supervises their trees, one_for_one.

One user's failure is nobody else's: a tree that crashes is started again; past
its own budget it comes back "after N s" while its browsers are told. At boot
the trees of all users whose show was running are started again.

A tree lives while any of its user's sessions has a browser connected, for a
while after the last one left, and always while the show is live.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs
import orjson
import trio

from .. import names
from ..errors import CloudflareRefused, CommandRefused, StreampaiError
from ..runtime import (
    Backoff,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    NotFound,
    NotRunning,
    StartFailed,
    SupervisorReport,
)
from ..telemetry.events import SupervisorReported, UserSessionEnded, UserSessionStarted
from .orphan_sweep import sweep_orphans
from .services import Services
from .snapshot import read_snapshot
from .user_manager import UserStreamManager

# Trees that are started or stopped at once before others get a turn.
SLICE = 100


@attrs.define
class _Presence:
    """One user whose tree is wanted. ``seen_at`` is on Trio's clock."""

    started_at: float
    seen_at: float


class LivestreamManager:
    def __init__(self, *, services: Services) -> None:
        self._services = services
        self._settings = services.settings.livestream
        self._users: dict[int, _Presence] = {}
        # Browsers per session, and whose session it is: two tabs are one session.
        self._sessions: dict[str, tuple[int, int]] = {}
        self._restarting: dict[int, str] = {}
        self._starting: dict[int, trio.Event] = {}
        # Users with a running show whose tree has not come up since the start of the daemon.
        self._to_resume: set[int] = set()
        self._supervisor = DynamicSupervisor(
            name="livestream_manager",
            max_restarts=self._settings.user_restarts,
            max_seconds=self._settings.user_restart_window,
            backoff=Backoff(0.05, 1.0),
            report=self._report,
        )

    async def run(self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._supervisor.run, name="livestream_manager/users")
            shows = await self._services.storage.streams.open_sessions()
            self._to_resume = {session.user_id for session in shows}
            for number, session in enumerate(shows, start=1):
                name = f"livestream_manager/resume/{session.user_id}"
                nursery.start_soon(self._resume, session.user_id, name=name)
                if number % SLICE == 0:
                    await trio.lowlevel.checkpoint()
            nursery.start_soon(self._stop_idle_trees, name="livestream_manager/idle")
            nursery.start_soon(self._sweep_orphans, name="livestream_manager/orphans")
            task_status.started(self)
            await trio.sleep_forever()

    async def _resume(self, user_id: int) -> None:
        """Start the tree of a show that was running, tried again for as long as it fails.

        Open shows are not held against the limit of users: they go on sending anyway.
        """
        while True:
            try:
                await self.ensure_user(user_id, resuming=True)
            except (StreampaiError, NotRunning):
                await trio.sleep(self._settings.user_restart_delay)
            else:
                self._to_resume.discard(user_id)
                return

    # --- users -----------------------------------------------------------------------

    async def ensure_user(self, user_id: int, *, resuming: bool = False) -> UserStreamManager:
        """The user's manager, its tree started if need be.

        Raises CommandRefused: ``too_many_users`` when the server is full,
        ``user_restarting`` while the tree is between two lives, ``not_found``.
        Trees that are being restarted count as well.
        """
        while (event := self._starting.get(user_id)) is not None:
            await event.wait()
        if (presence := self._users.get(user_id)) is not None:
            presence.seen_at = trio.current_time()
            return self.user(user_id)
        if not resuming and len(self._users) >= self._settings.max_concurrent_users:
            raise CommandRefused(
                code="too_many_users", retryable=True, limit=self._settings.max_concurrent_users
            )
        begun = trio.current_time()
        self._users[user_id] = _Presence(started_at=begun, seen_at=begun)
        self._starting[user_id] = trio.Event()
        up = False
        try:
            await self._start_tree(user_id)
            up = True
        finally:
            if not up:
                self._users.pop(user_id, None)
            self._starting.pop(user_id).set()
        self._services.telemetry.emit(
            UserSessionStarted(user_id=user_id, duration=trio.current_time() - begun)
        )
        self._tell_watched(user_id)
        return self.user(user_id)

    async def _start_tree(self, user_id: int) -> None:
        user = await self._services.storage.users.get(user_id)
        if user is None:
            raise CommandRefused(code="not_found")

        async def run(*, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED) -> None:
            manager = UserStreamManager(user=user, services=self._services, report=self._report)
            await manager.run(task_status=task_status)

        name = names.task_name(names.user_stream_manager(user_id))
        try:
            await self._supervisor.start_child(
                ChildSpec(
                    id=user_id,
                    start=run,
                    name=name,
                    type=ChildType.SUPERVISOR,
                    restart_later=self._settings.user_restart_delay,
                )
            )
        except StartFailed as exc:
            # A tree that cannot come up is this user's trouble and nobody else's.
            self._report(
                SupervisorReport(
                    supervisor="livestream_manager",
                    child=name,
                    what="restart_failed",
                    reason=str(exc),
                    error=exc.cause,
                )
            )
            raise CommandRefused(code="user_restarting", retryable=True) from exc

    def user(self, user_id: int) -> UserStreamManager:
        """A registry look-up. Raises CommandRefused ``user_restarting``."""
        found = self._services.registry.lookup(names.user_stream_manager(user_id))
        if not isinstance(found, UserStreamManager):
            raise CommandRefused(code="user_restarting", retryable=True)
        return found

    async def logged_in(self, user_id: int) -> None:
        """Start the tree. Raises CommandRefused ``too_many_users``, not ``user_restarting``:
        whoever logs in meanwhile is to see on the page what is the matter."""
        try:
            await self.ensure_user(user_id)
        except CommandRefused as refusal:
            if refusal.code != "user_restarting":
                raise

    async def logged_out(self, session_id: str, user_id: int) -> None:
        """The tree stops unless another session is connected or the show is live."""
        self._sessions.pop(session_id, None)
        self._tell_watched(user_id)
        if not self._has_browsers(user_id) and not self._is_live(user_id):
            await self._stop_tree(user_id, "logged_out")

    def browser_connected(self, session_id: str, user_id: int) -> None:
        count, _ = self._sessions.get(session_id, (0, user_id))
        self._sessions[session_id] = (count + 1, user_id)
        self._tell_watched(user_id)

    def browser_disconnected(self, session_id: str) -> None:
        count, user_id = self._sessions.get(session_id, (0, 0))
        if count > 1:
            self._sessions[session_id] = (count - 1, user_id)
        elif self._sessions.pop(session_id, None) is not None:
            if (presence := self._users.get(user_id)) is not None:
                presence.seen_at = trio.current_time()
            self._tell_watched(user_id)

    def _has_browsers(self, user_id: int) -> bool:
        return any(owner == user_id for _, owner in self._sessions.values())

    def _is_live(self, user_id: int) -> bool:
        """A tree between two lives may be live; only storage knows, so it is left alone."""
        found = self._services.registry.lookup(names.user_stream_manager(user_id))
        return not isinstance(found, UserStreamManager) or found.live

    def _tell_watched(self, user_id: int) -> None:
        found = self._services.registry.lookup(names.user_stream_manager(user_id))
        if isinstance(found, UserStreamManager):
            found.watched(self._has_browsers(user_id))

    # --- stopping trees nobody needs ----------------------------------------------------

    async def _stop_idle_trees(self) -> None:
        timeout = self._settings.user_idle_timeout
        while True:
            await trio.sleep(timeout / 4)
            watched = {owner for _, owner in self._sessions.values()}
            limit = trio.current_time() - timeout
            idle = [
                user_id
                for user_id, presence in self._users.items()
                if presence.seen_at <= limit
                and user_id not in watched
                and user_id not in self._starting
            ]
            for user_id in idle:
                if not self._is_live(user_id):
                    await self._stop_tree(user_id, "idle")

    async def _stop_tree(self, user_id: int, reason: str) -> None:
        presence = self._users.get(user_id)
        if presence is None or user_id in self._starting:
            return
        topics = self.user(user_id).topics()
        self._starting[user_id] = trio.Event()
        try:
            # It may be a request whose browser has left, and half a stop would lock the
            # user out. Bounded by the graces of the tree's own tasks.
            with trio.CancelScope(shield=True), suppress(NotFound):
                await self._supervisor.terminate_child(user_id)
        finally:
            for topic in topics:
                self._services.pubsub.drop_topic(topic)
            self._users.pop(user_id, None)
            self._starting.pop(user_id).set()
        self._services.telemetry.emit(
            UserSessionEnded(
                user_id=user_id,
                reason=reason,
                duration=trio.current_time() - presence.started_at,
            )
        )

    async def _sweep_orphans(self) -> None:
        try:
            await sweep_orphans(self._services.cloudflare, self._is_served)
        except CloudflareRefused:
            # Wrong credentials: every user's page says so already.
            return

    def _is_served(self, owner: str) -> bool:
        return owner.isdigit() and (int(owner) in self._users or int(owner) in self._to_resume)

    # --- what supervisors report ----------------------------------------------------------

    def _report(self, report: SupervisorReport) -> None:
        self._services.telemetry.emit(
            SupervisorReported(
                supervisor=report.supervisor,
                child=report.child,
                what=report.what,
                reason=report.reason,
                error=report.error,
                delay=report.delay or None,
            )
        )
        role, _, number = report.child.partition("/")
        if role == "user_stream_manager" and number.isdigit():
            self._tree_reported(int(number), report)

    def _tree_reported(self, user_id: int, report: SupervisorReport) -> None:
        match report.what:
            case "restarting" | "restart_failed":
                self._interrupted(user_id, "Restarting after a fault.")
            case "delayed":
                seconds = math.ceil(report.delay)
                self._interrupted(user_id, f"Restarting in {seconds} s after repeated faults.")
            case "started":
                self._restarting.pop(user_id, None)

    def _interrupted(self, user_id: int, sentence: str) -> None:
        """Tell the browsers, since the user's own stream_state cannot."""
        self._restarting[user_id] = sentence
        topic = names.user_stream_topic(user_id)
        history = self._services.pubsub.history(topic)
        snapshot = read_snapshot(history[-1].data) if history else None
        if snapshot is not None:
            snapshot["interrupted"] = sentence
            snapshot["revision"] += 1
            self._services.pubsub.publish(topic, orjson.dumps(snapshot))

    # --- health ---------------------------------------------------------------------------

    def status(self) -> Mapping[str, Any]:
        """For the probe and the metrics: users, their states, their monitors."""
        by_state: dict[str, int] = {}
        monitors: dict[str, int] = {}
        for user_id in self._users:
            found = self._services.registry.lookup(names.user_stream_manager(user_id))
            if not isinstance(found, UserStreamManager):
                by_state["restarting"] = by_state.get("restarting", 0) + 1
                continue
            state = found.stream_status.value
            by_state[state] = by_state.get(state, 0) + 1
            for destination in found.destinations.values():
                if destination.monitor != "stopped":
                    monitors[destination.monitor] = monitors.get(destination.monitor, 0) + 1
        return {
            "users": len(self._users),
            "users_by_state": by_state,
            "restarting": sorted(self._restarting),
            "monitors": monitors,
            "sessions": len(self._sessions),
        }
