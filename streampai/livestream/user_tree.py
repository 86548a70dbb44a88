"""The children of user_stream_manager/42, and how to reach them.

    stream_state/42             single writer of state, statistics, history
    token_refreshers/42         a refresher per account
    cloudflare_output/42        creates and destroys live outputs
    cloudflare_input/42         polls the live input
    platform_monitors/42        a monitor per destination of the running show

They are one_for_one. What they must not lose when they crash belongs to the
manager: wishes, the state client, which moment each monitor has reached.
"""

from typing import Any

import trio

from .. import names
from ..cloudflare import (
    Attention,
    CloudflareInputMonitor,
    CloudflareOutputManager,
    LiveInput,
)
from ..errors import CommandRefused
from ..platforms.monitor import PlatformMonitor
from ..platforms.platform import Account
from ..runtime import Backoff, ChildSpec, ChildType, CircuitBreaker, Supervisor
from ..storage import User
from ..telemetry.events import BreakerChanged, MonitorStarted
from .accounts import UserAccounts
from .listening import Listening
from .platform_monitors import PlatformMonitorSupervisor
from .services import Report, Services
from .snapshot import StreamSnapshot
from .state_client import StateClient
from .stored import StoredIntents, StoredLiveInput
from .stream_state import StreamStateServer
from .transitions import StreamStatus
from .wishes import Wishes

TaskStatus = trio.TaskStatus[Any]


class UserTree:
    def __init__(
        self,
        *,
        user: User,
        services: Services,
        wishes: Wishes,
        state: StateClient,
        accounts: UserAccounts,
        report: Report,
    ) -> None:
        self._user = user
        self._services = services
        self._wishes = wishes
        self._state = state
        self._accounts = accounts
        self._report = report
        self._input: CloudflareInputMonitor | None = None
        self._breakers: dict[str, CircuitBreaker] = {}
        self._watched: dict[str, Account] = {}
        self.listening = Listening(user_id=user.id, storage=services.storage)

    def supervisor(self) -> Supervisor:
        """Of all the children, in start order."""
        user_id = self._user.id
        settings = self._services.settings.livestream

        def worker(key: names.Key, start: Any, *, handshake: bool = True) -> ChildSpec:
            name = names.task_name(key)
            return ChildSpec(id=key[0], start=start, name=name, handshake=handshake)

        return Supervisor(
            [
                worker(names.stream_state(user_id), self._run_state),
                ChildSpec(
                    id="token_refreshers",
                    start=self._accounts.run,
                    name=f"token_refreshers/{user_id}",
                    type=ChildType.SUPERVISOR,
                ),
                worker(names.cloudflare_output(user_id), self._run_output),
                # Cloudflare may be slow to answer; a log-in does not wait for it.
                worker(names.cloudflare_input(user_id), self._run_input, handshake=False),
                ChildSpec(
                    id="platform_monitors",
                    start=self._run_monitors,
                    name=names.task_name(names.platform_monitors(user_id)),
                    type=ChildType.SUPERVISOR,
                ),
            ],
            name=names.task_name(names.user_stream_manager(user_id)),
            # Past these the livestream manager takes over.
            max_restarts=settings.user_task_restarts,
            max_seconds=settings.user_task_restart_window,
            backoff=Backoff(0.05, 5.0),
            report=self._report,
        )

    # --- reaching them ------------------------------------------------------------

    def outputs(self) -> CloudflareOutputManager:
        """Raises CommandRefused ``user_restarting`` while it is being restarted."""
        found = self._services.registry.lookup(names.cloudflare_output(self._user.id))
        if not isinstance(found, CloudflareOutputManager):
            raise CommandRefused(code="user_restarting", retryable=True)
        return found

    def monitors(self) -> PlatformMonitorSupervisor | None:
        """None while it is being restarted: it then starts what is wanted by itself."""
        found = self._services.registry.lookup(names.platform_monitors(self._user.id))
        return found if isinstance(found, PlatformMonitorSupervisor) else None

    def monitor(self, platform: str) -> PlatformMonitor | None:
        found = self._services.registry.lookup(names.platform_monitor(self._user.id, platform))
        return found if isinstance(found, PlatformMonitor) else None

    def watched_account(self, platform: str) -> Account | None:
        """Whose events the platform's monitor brings."""
        return self._watched.get(platform)

    def check_input_soon(self) -> None:
        """There is a reason to believe that the encoder came or went."""
        if self._input is not None:
            self._input.check_soon()

    async def rotate_key(self) -> None:
        """Raises CommandRefused ``user_restarting`` and what Cloudflare's client raises."""
        if self._input is None:
            raise CommandRefused(code="user_restarting", retryable=True)
        await self._input.rotate_key()

    @property
    def ingest_url(self) -> str:
        """Empty until there is a live input."""
        live_input = None if self._input is None else self._input.live_input
        return "" if live_input is None else live_input.ingest_url

    async def stored_input(self) -> LiveInput:
        """The ingest with its key. Raises CommandRefused ``input_missing``."""
        live_input = await self._input_store().get()
        if live_input is None:
            raise CommandRefused(code="input_missing")
        return live_input

    # --- running them: each is made anew for every start ------------------------------

    async def _run_state(self, *, task_status: TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
        services = self._services
        state = StreamStateServer(
            user_id=self._user.id,
            status=self._state.status,
            rebuild=self._rebuild,
            platforms=services.platforms.keys(),
            storage=services.storage,
            pubsub=services.pubsub,
            registry=services.registry,
            telemetry=services.telemetry,
            settings=services.settings.livestream,
            simulated=services.settings.simulated,
            now=services.now,
            up=self._state.up,
        )
        await state.run(task_status=task_status)

    def _rebuild(self, snapshot: StreamSnapshot) -> None:
        self._state.rebuild(snapshot, self.ingest_url)

    async def _run_output(self, *, task_status: TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
        output = CloudflareOutputManager(
            user_id=self._user.id,
            client=self._services.cloudflare,
            input_uid=self._input_uid,
            intents=StoredIntents(self._services.storage, self._user.id),
            registry=self._services.registry,
            telemetry=self._services.telemetry,
            known=dict(self._wishes.outputs),
        )
        await output.run(task_status=task_status)

    async def _input_uid(self) -> str:
        return (await self.stored_input()).uid

    def _input_store(self) -> StoredLiveInput:
        return StoredLiveInput(self._services.storage, self._user.id, self._services.now)

    async def _run_input(self, *, task_status: TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
        services = self._services
        self._input = CloudflareInputMonitor(
            user_id=self._user.id,
            name=self._user.name,
            client=services.cloudflare,
            store=self._input_store(),
            intents=StoredIntents(services.storage, self._user.id),
            status=self._state.live_input,
            attention=self._attention,
            interval=services.settings.cloudflare.input_poll_interval,
            now=services.now,
            telemetry=services.telemetry,
            registry=services.registry,
        )
        await self._input.run(task_status=task_status)

    def _attention(self) -> Attention:
        if self._state.status.value is StreamStatus.STREAMING:
            in_grace = self._wishes.grace_ends_at is not None
            return Attention.GRACE if in_grace else Attention.LIVE
        return Attention.WATCHING if self._wishes.watched else Attention.IDLE

    async def _run_monitors(self, *, task_status: TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
        monitors = PlatformMonitorSupervisor(
            user_id=self._user.id,
            make_monitor=self._make_monitor,
            wanted=lambda: set(self._wishes.monitors),
            registry=self._services.registry,
            settings=self._services.settings.livestream,
            report=self._report,
        )
        await monitors.run(task_status=task_status)

    def _make_monitor(self, platform: str) -> PlatformMonitor:
        services = self._services
        services.telemetry.emit(MonitorStarted(user_id=self._user.id, platform=platform))
        account = self._watched[platform] = self._accounts.account(platform)
        monitor = PlatformMonitor(
            user_id=self._user.id,
            platform=platform,
            account=account,
            emit=self._state.emit,
            registry=services.registry,
            settings=services.settings.platforms,
            telemetry=services.telemetry,
            now=services.now,
            breaker=self._breaker(platform),
            alive_until=self.listening.until(platform),
        )
        self.listening.follow(platform, monitor)
        return monitor

    def _breaker(self, platform: str) -> CircuitBreaker:
        """The breaker outlives its monitor: a crash must not close it."""

        def changed(old: str, new: str) -> None:
            self._services.telemetry.emit(
                BreakerChanged(user_id=self._user.id, platform=platform, old=old, new=new)
            )

        if platform not in self._breakers:
            self._breakers[platform] = CircuitBreaker(on_change=changed)
        return self._breakers[platform]
