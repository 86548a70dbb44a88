"""stream_state/42: the single writer of one user's state, statistics and history.

Whatever is to be seen on that user's topics goes through this server's
mailbox: platform events from the monitors, lifecycle events and changes of the
snapshot from the user's manager. A batch is counted, made durable in one
transaction and only then published, so that nobody has seen what a crash
could take back.

When it crashes it rebuilds itself from storage: events that were stored but
not yet published are published then, what was counted is not counted again,
and callers whose call was lost repeat it and are recognised by the event's id.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import orjson
import trio
from trio_util import AsyncValue

from .. import names
from ..cloudflare.models import InputStatus
from ..errors import StorageUnavailable
from ..events import (
    LifecycleEvent,
    MonitorStatusChanged,
    PlatformEvent,
    PlatformStreamEnded,
    PlatformStreamStarted,
    ViewersCounted,
    decode_event,
    event_type,
)
from ..platforms.platform import Now
from ..runtime import Backoff, Envelope, PubSub, Registry, Server
from ..settings import LivestreamSettings
from ..storage import Storage
from ..telemetry import Telemetry
from ..telemetry.events import PlatformEventDropped, PlatformEventProcessed, StreamStateChanged
from .journal import CATCH_UP_PAGE, Journal
from .snapshot import StreamSnapshot, encode_input, read_snapshot
from .statistics import Statistics
from .transitions import StreamStatus

# Statistics are stored with an event batch at most this often; a restart counts
# the events that came after them again, a few thousand at the very most.
STATISTICS_STORE_INTERVAL = 30.0


@attrs.frozen(kw_only=True)
class Record:
    events: tuple[PlatformEvent, ...]


@attrs.frozen(kw_only=True)
class Tell:
    events: tuple[LifecycleEvent, ...]


@attrs.frozen(kw_only=True)
class Enter:
    status: StreamStatus
    reason: str
    session_id: str | None
    started_at: datetime | None
    events: tuple[LifecycleEvent, ...]
    only_from: StreamStatus | None = None


@attrs.frozen(kw_only=True)
class Show:
    """Fields of the snapshot that change, and of single destinations."""

    fields: Mapping[str, Any] = attrs.field(factory=dict)
    destinations: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ShowInput:
    status: InputStatus
    ingest_url: str


class StreamStateServer(Server):
    """See the module. ``status`` belongs to the parent and is set here alone.

    ``rebuild`` fills a fresh snapshot with what the siblings know (the input,
    outputs, monitors, accounts): after a crash they need not be asked to say it
    again. ``up`` is this server while it is up, None between two lives.
    """

    def __init__(
        self,
        *,
        user_id: int,
        status: AsyncValue[StreamStatus],
        rebuild: Callable[[StreamSnapshot], None],
        platforms: Collection[str],
        storage: Storage,
        pubsub: PubSub,
        registry: Registry,
        telemetry: Telemetry,
        settings: LivestreamSettings,
        simulated: bool,
        now: Now,
        up: "AsyncValue[StreamStateServer | None]",
    ) -> None:
        # 1,024 calls: a second of a chat storm; beyond it monitors wait, their sockets
        # fill, and the platform slows down, as it should.
        super().__init__(key=names.stream_state(user_id), registry=registry, capacity=1024)
        self._user_id = user_id
        self._status = status
        self._rebuild = rebuild
        self._storage = storage
        self._pubsub = pubsub
        self._telemetry = telemetry
        self._settings = settings
        self._now = now
        self._up = up
        self._snapshot = StreamSnapshot(
            revision=int(now().timestamp() * 1000),
            user_id=user_id,
            since=now(),
            simulated=simulated,
        )
        self._journal = Journal(
            user_id=user_id,
            platforms=platforms,
            storage=storage,
            pubsub=pubsub,
            history_size=settings.event_history_size,
            dedupe_window=settings.dedupe_window,
        )
        self._statistics = Statistics()
        self._statistics_stored_at = trio.current_time()
        self._statistics_published_at = -float("inf")
        self._published_revision = -1
        self._statistics_wake = trio.Event()
        self._encoded = b""

    # --- what others call -------------------------------------------------------

    async def record(self, *events: PlatformEvent) -> None:
        """Count, store and publish platform events; returns when they are durable and out.

        Events whose id is known are dropped. Raises NotRunning when the server ends
        meanwhile: call its successor with the same events. Cancelling abandons the
        wait; the events may still be counted.
        """
        await self.call(Record(events=events), timeout=None)

    async def tell(self, *events: LifecycleEvent) -> None:
        """Store and publish lifecycle events; returns when they are durable and out."""
        await self.call(Tell(events=events), timeout=None)

    async def enter(
        self,
        status: StreamStatus,
        *events: LifecycleEvent,
        reason: str = "",
        session_id: str | None = None,
        started_at: datetime | None = None,
        only_from: StreamStatus | None = None,
    ) -> None:
        """Change the public state and tell ``events`` with it, in one batch.

        With ``only_from`` nothing happens when the state is another one.
        """
        await self.call(
            Enter(
                status=status,
                reason=reason,
                session_id=session_id,
                started_at=started_at,
                events=events,
                only_from=only_from,
            ),
            timeout=None,
        )

    async def show(self, **fields: Any) -> None:
        """Change fields of the snapshot."""
        await self.call(Show(fields=fields), timeout=None)

    async def show_destination(self, platform: str, **fields: Any) -> None:
        """Change fields of one destination of the snapshot."""
        await self.call(Show(destinations={platform: fields}), timeout=None)

    async def show_input(self, status: InputStatus, ingest_url: str) -> None:
        await self.call(ShowInput(status=status, ingest_url=ingest_url), timeout=None)

    @property
    def snapshot(self) -> StreamSnapshot:
        """Read only; the bytes of its last publication are ``encoded_snapshot``."""
        return self._snapshot

    @property
    def encoded_snapshot(self) -> bytes:
        return self._encoded

    def encoded_statistics(self) -> bytes:
        return orjson.dumps(self._statistics.as_dict(self._now()))

    def summary(self) -> dict[str, Any]:
        """The totals that go into the session's row when the show is over."""
        body: dict[str, Any] = orjson.loads(self.encoded_statistics())
        return body

    # --- starting ---------------------------------------------------------------

    async def init(self) -> None:
        snapshot = self._snapshot
        await self._journal.load()
        for topic in (
            names.user_stream_topic(self._user_id),
            names.statistics_topic(self._user_id),
            names.cloudflare_input_topic(self._user_id),
        ):
            if topic not in self._pubsub.topics():
                # Every publication is whole, so the newest is history enough.
                self._pubsub.open_topic(topic, history_size=1)
        session = await self._storage.streams.open_session(self._user_id)
        if session is not None:
            snapshot.session_id, snapshot.started_at = session.id, session.started_at
            snapshot.grace_ends_at = session.disconnect_deadline
            await self._load_statistics(session.id, session.started_at, session.statistics)
        snapshot.title, snapshot.category = await self._storage.metadata.get(self._user_id)
        snapshot.state = self._status.value
        self._continue_snapshot()
        self._rebuild(snapshot)
        self._publish_snapshot()
        self._publish_input()
        self._up.value = self

    def _continue_snapshot(self) -> None:
        """The state is the one that a predecessor has shown: so are its beginning and reason."""
        history = self._pubsub.history(names.user_stream_topic(self._user_id))
        shown = read_snapshot(history[-1].data) if history else None
        if shown is not None and shown["state"] == self._snapshot.state.value:
            self._snapshot.since = datetime.fromisoformat(shown["since"])
            self._snapshot.reason = shown["reason"]

    async def _load_statistics(
        self, session_id: str, since: datetime, stored: bytes | None
    ) -> None:
        if stored is None:
            self._statistics, counted = Statistics(session_id, since), 0
        else:
            self._statistics, counted = Statistics.load(stored, session_id, since)
        while True:
            page = await self._storage.events.of_session(
                session_id, after_sequence=counted, limit=CATCH_UP_PAGE
            )
            for sequence, payload in page:
                event = decode_event(payload)
                if isinstance(event, PlatformEvent):
                    self._statistics.add(event)
                counted = sequence
            if len(page) < CATCH_UP_PAGE:
                return

    # --- running ----------------------------------------------------------------

    async def run(self, *, task_status: "trio.TaskStatus[Any]" = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._publish_statistics, name=f"{self.name}/statistics")
                await super().run(task_status=task_status)
        finally:
            if self._up.value is self:
                self._up.value = None

    async def handle_batch(self, messages: Sequence[Envelope]) -> None:
        processed: list[PlatformEvent] = []
        counted = self._statistics, self._statistics.revision
        changed = input_changed = False
        for envelope in messages:
            match envelope.message:
                case Record(events=events):
                    for event in events:
                        changed |= self._record(event, processed)
                case Tell(events=told):
                    self._enter_all(told)
                case Enter(only_from=StreamStatus() as old) if old is not self._snapshot.state:
                    pass  # overtaken by another change
                case Enter() as enter:
                    self._enter(enter)
                    self._enter_all(enter.events)
                    changed = True
                case Show() as show:
                    changed |= self._show(show)
                case ShowInput(status=status, ingest_url=url):
                    self._snapshot.input, self._snapshot.ingest_url = status, url
                    changed = input_changed = True
                case other:
                    raise TypeError(f"stream_state does not know {type(other).__name__}")
        if self._journal.pending:
            await self._store()
            self._journal.publish()
        if counted != (self._statistics, self._statistics.revision):
            self._statistics_wake.set()
        if changed:
            self._snapshot.revision += 1
            self._publish_snapshot()
        if input_changed:
            self._publish_input()
        for envelope in messages:
            envelope.reply(None)
        for event in processed:
            self._tell_processed(event)

    def _enter_all(self, events: Collection[LifecycleEvent]) -> None:
        for event in events:
            self._journal.enter(event)

    def _record(self, event: PlatformEvent, processed: list[PlatformEvent]) -> bool:
        """Count one event unless its id is known; True when the snapshot changed."""
        if not self._journal.enter(event):
            self._telemetry.emit(
                PlatformEventDropped(
                    user_id=self._user_id, platform=event.platform, reason="duplicate"
                )
            )
            return False
        self._statistics.add(event)
        processed.append(event)
        return self._reflect(event)

    def _tell_processed(self, event: PlatformEvent) -> None:
        now = self._now()
        self._telemetry.emit(
            PlatformEventProcessed(
                user_id=self._user_id,
                platform=event.platform,
                kind=event_type(event),
                latency=max(0.0, (now - event.received_at).total_seconds()),
            )
        )

    def _reflect(self, event: PlatformEvent) -> bool:
        """What an event says about its destination; True when that is new."""
        destination = self._snapshot.destinations.get(event.platform)
        if destination is None:
            return False
        before = attrs.evolve(destination)
        match event:
            case MonitorStatusChanged():
                destination.monitor = event.status.value
                destination.monitor_reason = event.reason
                destination.retry_at = event.retry_at
                destination.breaker = event.breaker
                destination.since = event.occurred_at
            case PlatformStreamStarted():
                destination.live = True
            case PlatformStreamEnded():
                destination.live = False
            case ViewersCounted():
                destination.live = True
        return destination != before

    def _enter(self, enter: Enter) -> None:
        snapshot, now = self._snapshot, self._now()
        old = snapshot.state
        if enter.session_id != self._statistics.session_id and enter.session_id is not None:
            self._statistics = Statistics(enter.session_id, enter.started_at)
        snapshot.session_id, snapshot.started_at = enter.session_id, enter.started_at
        snapshot.reason = enter.reason
        if old is enter.status:
            return
        snapshot.state, snapshot.since = enter.status, now
        self._status.value = enter.status
        self._telemetry.emit(
            StreamStateChanged(
                user_id=self._user_id,
                old=old.value,
                new=enter.status.value,
                reason=enter.reason,
            )
        )

    def _show(self, show: Show) -> bool:
        changed = False
        for name, value in show.fields.items():
            changed |= getattr(self._snapshot, name) != value
            setattr(self._snapshot, name, value)
        for platform, fields in show.destinations.items():
            destination = self._snapshot.destinations[platform]
            for name, value in fields.items():
                if getattr(destination, name) != value:
                    setattr(destination, name, value)
                    destination.since = self._now()
                    changed = True
        return changed

    async def _store(self) -> None:
        """Make what was entered durable. While the store refuses, callers wait and the page is told."""
        statistics = None
        session_id = self._snapshot.session_id
        if (
            session_id is not None
            and trio.current_time() - self._statistics_stored_at > STATISTICS_STORE_INTERVAL
        ):
            statistics = self._statistics.dump(self._journal.sequence)
            self._statistics_stored_at = trio.current_time()
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                await self._journal.store(session_id, statistics)
            except StorageUnavailable as exc:
                self._interrupt(f"Events wait: {exc.message}")
                await trio.sleep(backoff.next())
            else:
                self._interrupt("")
                return

    def _interrupt(self, sentence: str) -> None:
        if self._snapshot.interrupted != sentence:
            self._snapshot.interrupted = sentence
            self._snapshot.revision += 1
            self._publish_snapshot()

    # --- publishing -------------------------------------------------------------

    def _publish_snapshot(self) -> None:
        self._encoded = self._snapshot.encode()
        self._pubsub.publish(names.user_stream_topic(self._user_id), self._encoded)

    def _publish_input(self) -> None:
        body = encode_input(self._snapshot.input, self._snapshot.ingest_url)
        self._pubsub.publish(
            names.cloudflare_input_topic(self._user_id),
            orjson.dumps({"revision": self._snapshot.revision, **body}),
        )

    async def _publish_statistics(self) -> None:
        """At once when the numbers have rested, else at most once per interval."""
        interval = self._settings.metrics_broadcast_interval
        while True:
            await self._statistics_wake.wait()
            self._statistics_wake = trio.Event()
            self._pubsub.publish(names.statistics_topic(self._user_id), self.encoded_statistics())
            await trio.sleep(interval)
