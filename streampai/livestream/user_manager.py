"""user_stream_manager/42: one user's supervisor and the one API for that user's stream.

    user_stream_manager/42          this server; takes commands in, works them off in two lanes
    ├── stream_state/42             single writer of state, statistics, history
    ├── token_refreshers/42         a refresher per account
    ├── cloudflare_output/42        creates and destroys live outputs
    ├── cloudflare_input/42         polls the live input
    └── platform_monitors/42        a monitor per destination of the running show

The children are one_for_one. What they must not lose when they crash belongs
to this manager: the stream's status, the input's status, which monitors and
outputs are wanted. When this manager crashes, the livestream manager starts
the whole tree again, and it takes up the show where storage says it stands.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import attrs
import trio
from trio_util import AsyncValue

from .. import names
from ..cloudflare import (
    Attention,
    CloudflareInputMonitor,
    CloudflareOutputManager,
    InputStatus,
)
from ..commands import (
    Command,
    EditMetadata,
    RetryDestination,
    RotateKey,
    SendChat,
    SetDestination,
    StartStream,
    StopStream,
    command_name,
)
from ..errors import CommandRefused, RateLimited, StreampaiError
from ..events import PlatformEvent
from ..platforms.monitor import PlatformMonitor
from ..platforms.platform import Limits
from ..runtime import (
    Backoff,
    ChildSpec,
    ChildType,
    CircuitBreaker,
    Mailbox,
    MailboxFull,
    NotRunning,
    Server,
    Supervisor,
)
from ..settings import Secret
from ..storage import User
from ..telemetry.events import BreakerChanged, MonitorStarted, PlatformEventDropped
from .accounts import UserAccounts
from .listening import Listening
from .outgoing import Outgoing
from .platform_monitors import PlatformMonitorSupervisor
from .services import Report, Services
from .show import Show
from .snapshot import DestinationStatus, StreamSnapshot
from .stored import StoredIntents, StoredLiveInput
from .stream_state import StreamStateServer
from .transitions import StreamStatus

# Commands of one user that wait to be worked off; a person cannot click this fast.
LANE_CAPACITY = 100
# Within a user's tree: five crashes a minute, then the livestream manager takes over.
RESTARTS, RESTART_WINDOW = 5, 60.0
# How long a monitor holds an event back while stream_state restarts. Longer than the
# restart itself takes many times over; after it the event is counted as lost. So is one
# with which stream_state crashes again and again, before it takes the tree along.
EMIT_PATIENCE = 10.0
EMIT_ATTEMPTS = RESTARTS


@attrs.frozen(kw_only=True)
class Submit:
    command: Command


@attrs.frozen(kw_only=True)
class EndShow:
    """The show ends by itself: nobody waits for an answer."""

    reason: str


class UserStreamManager(Server):
    """See the module. ``submit`` is for people and programs; the rest is for the daemon."""

    expected_errors = (StreampaiError,)

    def __init__(self, *, user: User, services: Services, report: Report) -> None:
        super().__init__(
            key=names.user_stream_manager(user.id),
            registry=services.registry,
            capacity=LANE_CAPACITY,
        )
        self.user = user
        self._services = services
        self._report = report
        self._settings = services.settings
        self.status: AsyncValue[StreamStatus] = AsyncValue(StreamStatus.OFFLINE)
        self.live_input: AsyncValue[InputStatus] = AsyncValue(InputStatus())
        self._state: AsyncValue[StreamStateServer | None] = AsyncValue(None)
        self._input_monitor: CloudflareInputMonitor | None = None
        self._destinations: dict[str, DestinationStatus] = {}
        self._breakers: dict[str, CircuitBreaker] = {}
        self._monitors: dict[str, PlatformMonitor] = {}
        self.listening = Listening(user_id=user.id, storage=services.storage)
        self._watched = False
        self.accounts = UserAccounts(
            user_id=user.id, services=services, changed=self._account_changed, report=report
        )
        self._outgoing = Outgoing(
            user_id=user.id,
            accounts=self.accounts,
            storage=services.storage,
            limits=self._limits,
        )
        self._show = Show(self, services)
        self._show_lane: Mailbox[Command | EndShow] = Mailbox(LANE_CAPACITY)
        self._talk_lane: Mailbox[Command] = Mailbox(LANE_CAPACITY)

    # --- what others call -------------------------------------------------------

    async def submit(self, command: Command) -> None:
        """Accept a command: returns when it is certain that it will be worked off.

        Its outcome is CommandDone or CommandFailed on ``stream_lifecycle:{user}``. A
        command whose id has been accepted before is accepted again and acts no
        second time. Raises the StreampaiError that says why it is refused, and
        NotRunning when the tree ends meanwhile. Cancelling abandons the wait.
        """
        await self.call(Submit(command=command), timeout=None)

    def snapshot(self) -> bytes:
        """The state of the stream page as JSON; as it was last known while it restarts."""
        state: StreamStateServer | None = self._state.value
        if state is not None:
            return state.encoded_snapshot
        history = self._services.pubsub.history(names.user_stream_topic(self.user.id))
        return history[-1].data

    def topic_snapshot(self, topic: str) -> bytes | None:
        """What a browser gets that subscribes without a position; None: nothing to give."""
        state: StreamStateServer | None = self._state.value
        user_id = self.user.id
        if topic == names.user_stream_topic(user_id):
            return self.snapshot()
        if topic == names.statistics_topic(user_id) and state is not None:
            return state.encoded_statistics()
        history = self._services.pubsub.history(topic)
        if topic in (names.statistics_topic(user_id), names.cloudflare_input_topic(user_id)):
            return history[-1].data if history else None
        rows = b",".join(b'{"offset":%d,"data":%b}' % (p.offset, p.data) for p in history)
        return b'{"events":[%b]}' % rows

    def topics(self) -> list[str]:
        user_id = self.user.id
        return [
            names.user_stream_topic(user_id),
            names.statistics_topic(user_id),
            names.cloudflare_input_topic(user_id),
            names.stream_lifecycle_topic(user_id),
            *(names.platform_topic(name, user_id) for name in self._services.platforms),
        ]

    async def stream_key(self) -> tuple[str, Secret]:
        """The ingest's URL and key, for the encoder. Raises CommandRefused ``input_missing``."""
        live_input = await self._stored_input().get()
        if live_input is None:
            raise CommandRefused(code="input_missing")
        return live_input.ingest_url, live_input.stream_key

    async def account_changed(self, platform: str) -> None:
        """A log-in or a disconnection has been stored: take it up, also in a running show."""
        await self.accounts.reload(platform)

    def watched(self, watched: bool) -> None:
        """Somebody has the stream page open (or nobody any more): poll accordingly."""
        came = watched and not self._watched
        self._watched = watched
        if came and self._input_monitor is not None:
            self._input_monitor.check_soon()

    @property
    def live(self) -> bool:
        """True while there is a show that must not be left alone."""
        return self._show.running

    # --- for the show and the lanes --------------------------------------------------

    @property
    def destinations(self) -> dict[str, DestinationStatus]:
        """What is known of each destination; stream_state has its own copy."""
        return self._destinations

    async def to_state(self, tell: Callable[[StreamStateServer], Awaitable[None]]) -> None:
        """Have ``tell`` talk to stream_state, once more when it crashed meanwhile."""
        while True:
            state = await self._state.wait_value(lambda value: value is not None)
            assert state is not None
            try:
                await tell(state)
            except NotRunning:
                await self._state.wait_value(lambda value, gone=state: value is not gone)
            else:
                return

    async def show_destination(self, platform: str, **fields: Any) -> None:
        destination = self._destinations[platform]
        for name, value in fields.items():
            setattr(destination, name, value)
        await self.to_state(lambda state: state.show_destination(platform, **fields))

    def outputs(self) -> CloudflareOutputManager:
        """Raises CommandRefused ``user_restarting`` while it is being restarted."""
        found = self._services.registry.lookup(names.cloudflare_output(self.user.id))
        if not isinstance(found, CloudflareOutputManager):
            raise CommandRefused(code="user_restarting", retryable=True)
        return found

    def monitors(self) -> PlatformMonitorSupervisor | None:
        """None while it is being restarted: it then starts what is wanted by itself."""
        found = self._services.registry.lookup(names.platform_monitors(self.user.id))
        return found if isinstance(found, PlatformMonitorSupervisor) else None

    def retry_monitor(self, platform: str) -> None:
        """Let a monitor that waits try at once."""
        monitor = self._monitor(platform)
        if monitor is not None:
            monitor.retry_now()

    def _monitor(self, platform: str) -> PlatformMonitor | None:
        found = self._services.registry.lookup(names.platform_monitor(self.user.id, platform))
        return found if isinstance(found, PlatformMonitor) else None

    def statistics_summary(self) -> dict[str, Any]:
        state = self._state.value
        return {} if state is None else state.summary()

    async def end_show(self, reason: str) -> None:
        """The show is to end by itself; the wish has been stored."""
        await self._show_lane.send(EndShow(reason=reason))

    def check_input_soon(self) -> None:
        if self._input_monitor is not None:
            self._input_monitor.check_soon()

    # --- the tree ---------------------------------------------------------------------

    async def run(self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED) -> None:
        await self._load()
        supervisor = Supervisor(
            self._children(),
            name=self.name,
            max_restarts=RESTARTS,
            max_seconds=RESTART_WINDOW,
            backoff=Backoff(0.05, 5.0),
            report=self._report,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run, name=f"{self.name}/children")
            name = self.name
            nursery.start_soon(self._show_input, name=f"{name}/input")
            nursery.start_soon(self._show.run_clock, name=f"{name}/disconnect_clock")
            nursery.start_soon(self._work_show_lane, name=f"{name}/show")
            nursery.start_soon(self._work_talk_lane, name=f"{name}/talk")
            nursery.start_soon(self._show.keep_outputs, name=f"{name}/outputs")
            await super().run(task_status=task_status)
            nursery.cancel_scope.cancel()

    async def _load(self) -> None:
        """Read where this user stands; the same at a first start and after a crash."""
        await self.accounts.load()
        enabled = await self._services.storage.destinations.all(self.user.id)
        for name, platform in self._services.platforms.items():
            self._destinations[name] = DestinationStatus(
                platform=name,
                title=platform.title,
                enabled=enabled.get(name, False),
                encoder_timeout=platform.limits.encoder_timeout,
                chat_length=platform.limits.chat_length,
                title_length=platform.limits.title_length,
            )
            self._describe_account(name)
        await self._show.load()

    def _children(self) -> list[ChildSpec]:
        user_id = self.user.id
        return [
            ChildSpec(
                id="stream_state",
                start=self._run_state,
                name=names.task_name(names.stream_state(user_id)),
            ),
            ChildSpec(
                id="token_refreshers",
                start=self.accounts.run,
                name=f"token_refreshers/{user_id}",
                type=ChildType.SUPERVISOR,
            ),
            ChildSpec(
                id="cloudflare_output",
                start=self._run_output,
                name=names.task_name(names.cloudflare_output(user_id)),
            ),
            ChildSpec(
                id="cloudflare_input",
                start=self._run_input,
                name=names.task_name(names.cloudflare_input(user_id)),
                # Cloudflare may be slow to answer; a log-in does not wait for it.
                handshake=False,
            ),
            ChildSpec(
                id="platform_monitors",
                start=self._run_monitors,
                name=names.task_name(names.platform_monitors(user_id)),
                type=ChildType.SUPERVISOR,
            ),
        ]

    async def _run_state(
        self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        services = self._services
        state = StreamStateServer(
            user_id=self.user.id,
            status=self.status,
            rebuild=self._rebuild_snapshot,
            platforms=services.platforms.keys(),
            storage=services.storage,
            pubsub=services.pubsub,
            registry=services.registry,
            telemetry=services.telemetry,
            settings=self._settings.livestream,
            simulated=self._settings.simulated,
            now=services.now,
            up=self._state,
        )
        await state.run(task_status=task_status)

    async def _run_output(
        self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        output = CloudflareOutputManager(
            user_id=self.user.id,
            client=self._services.cloudflare,
            input_uid=self._input_uid,
            intents=StoredIntents(self._services.storage, self.user.id),
            registry=self._services.registry,
            telemetry=self._services.telemetry,
            known=self._show.wanted_outputs(),
        )
        await output.run(task_status=task_status)

    async def _run_input(
        self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        services = self._services
        self._input_monitor = CloudflareInputMonitor(
            user_id=self.user.id,
            name=self.user.name,
            client=services.cloudflare,
            store=self._stored_input(),
            intents=StoredIntents(services.storage, self.user.id),
            status=self.live_input,
            attention=self._attention,
            interval=self._settings.cloudflare.input_poll_interval,
            now=services.now,
            telemetry=services.telemetry,
            registry=services.registry,
        )
        await self._input_monitor.run(task_status=task_status)

    async def _run_monitors(
        self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        monitors = PlatformMonitorSupervisor(
            user_id=self.user.id,
            make_monitor=self._make_monitor,
            wanted=self._show.wanted_monitors,
            registry=self._services.registry,
            report=self._report,
        )
        await monitors.run(task_status=task_status)

    def _make_monitor(self, platform: str) -> PlatformMonitor:
        services = self._services
        services.telemetry.emit(MonitorStarted(user_id=self.user.id, platform=platform))
        monitor = PlatformMonitor(
            user_id=self.user.id,
            platform=platform,
            account=self.accounts.account(platform),
            emit=self._emit,
            registry=services.registry,
            settings=self._settings.platforms,
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
                BreakerChanged(user_id=self.user.id, platform=platform, old=old, new=new)
            )

        if platform not in self._breakers:
            self._breakers[platform] = CircuitBreaker(on_change=changed)
        return self._breakers[platform]

    def _stored_input(self) -> StoredLiveInput:
        return StoredLiveInput(self._services.storage, self.user.id, self._services.now)

    async def _input_uid(self) -> str:
        live_input = await self._stored_input().get()
        if live_input is None:
            raise CommandRefused(code="input_missing")
        return live_input.uid

    def _attention(self) -> Attention:
        if self.status.value is StreamStatus.STREAMING:
            in_grace = self._show.grace_ends_at is not None
            return Attention.GRACE if in_grace else Attention.LIVE
        return Attention.WATCHING if self._watched else Attention.IDLE

    def _limits(self, platform: str) -> Limits:
        return self._services.platforms[platform].limits

    def _rebuild_snapshot(self, snapshot: StreamSnapshot) -> None:
        snapshot.destinations = {
            name: attrs.evolve(destination) for name, destination in self._destinations.items()
        }
        snapshot.input = self.live_input.value
        snapshot.ingest_url = self._ingest_url()
        self._show.rebuild(snapshot)

    # --- events of the monitors ---------------------------------------------------------

    async def _emit(self, *events: PlatformEvent) -> None:
        """Hand events over; while stream_state restarts, wait for its successor."""
        state: StreamStateServer | None = None
        for _ in range(EMIT_ATTEMPTS):
            gone = state
            with trio.move_on_after(EMIT_PATIENCE) as patience:
                state = await self._state.wait_value(
                    lambda value, gone=gone: value is not None and value is not gone
                )
            if patience.cancelled_caught or state is None:
                break
            try:
                # As long as it takes: while the store refuses, the platform's socket fills.
                await state.record(*events)
            except NotRunning:
                continue
            self._remember(events)
            return
        for event in events:
            self._services.telemetry.emit(
                PlatformEventDropped(user_id=self.user.id, platform=event.platform, reason="lost")
            )
        await self._show.tell_lost(events)

    def _remember(self, events: tuple[PlatformEvent, ...]) -> None:
        """Keep what a restarted stream_state must show again."""
        state = self._state.value
        if state is None:
            return
        for platform in {event.platform for event in events}:
            shown = state.snapshot.destinations.get(platform)
            if shown is not None:
                self._destinations[platform] = attrs.evolve(shown)

    # --- the input and the accounts ---------------------------------------------------------

    async def _show_input(self) -> None:
        """Every change of the input: shown, and followed between offline and ready."""
        async with aclosing(self.live_input.eventual_values()) as values:
            async for status in values:
                await self.to_state(
                    partial(
                        StreamStateServer.show_input, status=status, ingest_url=self._ingest_url()
                    )
                )
                await self._show.follow_input(status)

    def _ingest_url(self) -> str:
        monitor = self._input_monitor
        if monitor is None or monitor.live_input is None:
            return ""
        return monitor.live_input.ingest_url

    async def _account_changed(self, platform: str) -> None:
        self._describe_account(platform)
        destination = self._destinations[platform]
        await self.show_destination(
            platform,
            connected=destination.connected,
            account=destination.account,
            relogin=destination.relogin,
        )
        if (monitor := self._monitor(platform)) is not None:
            monitor.account_changed()

    def _describe_account(self, platform: str) -> None:
        destination = self._destinations[platform]
        stored = self.accounts.stored.get(platform)
        destination.connected = stored is not None
        destination.account = "" if stored is None else stored.identity.display_name
        destination.relogin = stored is not None and stored.relogin

    # --- commands --------------------------------------------------------------------------

    async def handle(self, message: object) -> object:
        match message:
            case Submit(command=command):
                await self._accept(command)
            case other:
                raise TypeError(f"user_stream_manager does not know {type(other).__name__}")
        return None

    async def _accept(self, command: Command) -> None:
        """Refuse, or make sure that the command will be worked off."""
        commands = self._services.storage.commands
        if await commands.seen(command.id, self.user.id):
            return
        self._check(command)
        lane = self._talk_lane if isinstance(command, SendChat | EditMetadata) else self._show_lane
        if lane.depth >= LANE_CAPACITY:
            raise RateLimited("Too many commands are waiting.", retry_after=1.0)
        await commands.accept(command.id, self.user.id, command_name(command))
        await self._show.foresee(command)
        try:
            lane.put(command)
        except MailboxFull:
            raise RateLimited("Too many commands are waiting.", retry_after=1.0) from None

    def _check(self, command: Command) -> None:
        match command:
            case StartStream():
                self._show.check_start(command)
            case SetDestination(platform=platform) | RetryDestination(platform=platform):
                self._show.check_destination(command, platform)
            case SendChat():
                self._outgoing.check_chat(command)
            case EditMetadata():
                self._outgoing.check_metadata(command)
            case RotateKey() if self.status.value is not StreamStatus.OFFLINE:
                raise CommandRefused(
                    "The key can be changed when no encoder is sending.", code="already_streaming"
                )

    async def _work_show_lane(self) -> None:
        await self._show.resume()
        while True:
            for job in await self._show_lane.take():
                if isinstance(job, EndShow):
                    await self._show.stop_stream(job.reason)
                else:
                    await self._carry_out(job)

    async def _work_talk_lane(self) -> None:
        while True:
            for command in await self._talk_lane.take():
                await self._carry_out(command)

    async def _carry_out(self, command: Command) -> None:
        """Do it, and tell the outcome."""
        try:
            result = await self._do(command)
        except StreampaiError as exc:
            await self._show.tell_failed(command.id, command_name(command), exc)
        else:
            await self._show.tell_done(command.id, command_name(command), result)

    async def _do(self, command: Command) -> dict[str, Any]:
        match command:
            case StartStream():
                return await self._show.start_stream(command)
            case StopStream():
                return await self._show.stop_stream("stopped")
            case SetDestination():
                return await self._show.set_destination(command)
            case RetryDestination():
                return await self._show.retry_destination(command)
            case RotateKey():
                return await self._rotate_key()
            case SendChat():
                return {"receipts": await self._outgoing.send_chat(command)}
            case EditMetadata():
                return await self._edit_metadata(command)
        raise TypeError(f"no such command: {command!r}")

    async def _rotate_key(self) -> dict[str, Any]:
        if self._input_monitor is None:
            raise CommandRefused(code="user_restarting", retryable=True)
        await self._input_monitor.rotate_key()
        return {}

    async def _edit_metadata(self, command: EditMetadata) -> dict[str, Any]:
        receipts = await self._outgoing.edit_metadata(command)
        title, category = await self._services.storage.metadata.get(self.user.id)
        title = title if command.title is None else command.title
        category = category if command.category is None else command.category
        await self._services.storage.metadata.set(self.user.id, title, category)
        await self.to_state(lambda state: state.show(title=title, category=category))
        return {"receipts": receipts}
