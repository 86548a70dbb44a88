"""How one user's tree talks to stream_state/42, also across that server's crashes.

What a fresh stream_state must know again belongs to here and to the manager
above: the stream's status, the input's status, what each destination shows.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import attrs
import trio
from trio_util import AsyncValue

from ..cloudflare import InputStatus
from ..errors import StreampaiError
from ..events import (
    CommandDone,
    CommandFailed,
    EventsLost,
    LifecycleEvent,
    PlatformEvent,
    encode_event,
)
from ..runtime import NotRunning
from ..telemetry.events import PlatformEventDropped
from .durably import durably
from .services import Services
from .snapshot import DestinationStatus, StreamSnapshot
from .stream_state import StreamStateServer
from .transitions import StreamStatus
from .wishes import Wishes

# How long a monitor holds an event back while stream_state restarts. Longer than the
# restart itself takes many times over; after it the event is counted as lost.
EMIT_PATIENCE = 10.0


class StateClient:
    """``status`` is written by stream_state alone, ``live_input`` by cloudflare_input.

    ``attempts``: so many times an event is handed over again when stream_state
    crashes with it; after that it is counted as lost, before it takes the tree along.
    """

    def __init__(self, *, user_id: int, services: Services, wishes: Wishes, attempts: int) -> None:
        self._user_id = user_id
        self._services = services
        self._wishes = wishes
        self._attempts = attempts
        self.status: AsyncValue[StreamStatus] = AsyncValue(StreamStatus.OFFLINE)
        self.live_input: AsyncValue[InputStatus] = AsyncValue(InputStatus())
        # The server that is up, None between two lives; it says so itself.
        self.up: AsyncValue[StreamStateServer | None] = AsyncValue(None)
        self.destinations: dict[str, DestinationStatus] = {}

    @property
    def server(self) -> StreamStateServer | None:
        server: StreamStateServer | None = self.up.value
        return server

    def rebuild(self, snapshot: StreamSnapshot, ingest_url: str) -> None:
        """Fill a fresh stream_state's snapshot."""
        snapshot.destinations = {
            name: attrs.evolve(destination) for name, destination in self.destinations.items()
        }
        snapshot.input = self.live_input.value
        snapshot.ingest_url = ingest_url
        self._wishes.rebuild(snapshot)

    # --- changes ------------------------------------------------------------------

    async def show(self, **fields: Any) -> None:
        """Change fields of the snapshot."""
        await self._to_server(lambda server: server.show(**fields))

    async def show_destination(self, platform: str, **fields: Any) -> None:
        """Change fields of one destination."""
        destination = self.destinations[platform]
        for name, value in fields.items():
            setattr(destination, name, value)
        await self._to_server(lambda server: server.show_destination(platform, **fields))

    async def show_input(self, status: InputStatus, ingest_url: str) -> None:
        await self._to_server(lambda server: server.show_input(status, ingest_url))

    async def enter(
        self,
        status: StreamStatus,
        *events: LifecycleEvent,
        reason: str = "",
        only_from: StreamStatus | None = None,
    ) -> None:
        """Change the public state and tell ``events`` with it.

        With ``only_from`` nothing happens when the state is another one by then.
        """
        session = self._wishes.session
        await self._to_server(
            lambda server: server.enter(
                status,
                *events,
                reason=reason,
                only_from=only_from,
                session_id=None if session is None else session.id,
                started_at=None if session is None else session.started_at,
            )
        )

    async def _to_server(self, tell: Callable[[StreamStateServer], Awaitable[None]]) -> None:
        """Have ``tell`` talk to stream_state, once more when it crashed meanwhile."""
        while True:
            server = await self.up.wait_value(lambda value: value is not None)
            assert server is not None
            try:
                await tell(server)
            except NotRunning:
                await self.up.wait_value(lambda value, gone=server: value is not gone)
            else:
                return

    # --- events -------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """The common fields of a lifecycle event."""
        session = self._wishes.session
        return {
            "user_id": self._user_id,
            "occurred_at": self._services.now(),
            "session_id": None if session is None else session.id,
        }

    async def tell(self, *events: LifecycleEvent) -> None:
        """Store and publish lifecycle events; they are durable and out on return."""
        await self._to_server(lambda server: server.tell(*events))

    async def tell_done(self, command_id: str, name: str, result: Mapping[str, Any]) -> None:
        await self._tell_outcome(
            CommandDone(command_id=command_id, command=name, result=result, **self.facts())
        )

    async def tell_failed(self, command_id: str, name: str, error: StreampaiError) -> None:
        await self._tell_outcome(
            CommandFailed(
                command_id=command_id, command=name, error=error.as_dict(), **self.facts()
            )
        )

    async def _tell_outcome(self, outcome: CommandDone | CommandFailed) -> None:
        commands = self._services.storage.commands
        await durably(
            lambda: commands.finish(outcome.command_id, self._user_id, encode_event(outcome))
        )
        await self.tell(outcome)

    async def emit(self, *events: PlatformEvent) -> None:
        """A monitor's events: durable and out on return, or named as lost.

        Waits for stream_state's successor while it restarts.
        """
        server: StreamStateServer | None = None
        for _ in range(self._attempts):
            gone = server
            with trio.move_on_after(EMIT_PATIENCE) as patience:
                server = await self.up.wait_value(
                    lambda value, gone=gone: value is not None and value is not gone
                )
            if patience.cancelled_caught or server is None:
                break
            try:
                # As long as it takes: while the store refuses, the platform's socket fills.
                await server.record(*events)
            except NotRunning:
                continue
            self._remember(server, events)
            return
        await self._tell_lost(events)

    def _remember(self, server: StreamStateServer, events: Collection[PlatformEvent]) -> None:
        """Keep what a successor must show again."""
        for platform in {event.platform for event in events}:
            shown = server.snapshot.destinations.get(platform)
            if shown is not None:
                self.destinations[platform] = attrs.evolve(shown)

    async def _tell_lost(self, events: Collection[PlatformEvent]) -> None:
        """Count events that could not be handed over, and name the gap they leave."""
        for event in events:
            self._services.telemetry.emit(
                PlatformEventDropped(user_id=self._user_id, platform=event.platform, reason="lost")
            )
        for platform in {event.platform for event in events}:
            times = [event.occurred_at for event in events if event.platform == platform]
            await self.tell(
                EventsLost(
                    platform=platform,
                    count=len(times),
                    missed_from=min(times),
                    missed_until=max(times),
                    **self.facts(),
                )
            )
