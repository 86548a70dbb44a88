"""Where a Twitch channel's events come from: EventSub over WebSocket, one account per socket.

Twitch replays nothing: what happens between a lost connection and the next
one's subscriptions is gone, and the monitor says so.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import trio

from ...errors import StreampaiError
from ...events import PlatformEvent
from ...settings import TwitchSettings
from ...telemetry import Telemetry
from ...telemetry.events import PlatformEventDropped
from ..platform import AccessTokens, Now
from ..recent_ids import RecentIds
from .arrival import NAME
from .client import TwitchClient
from .connection import EventSubConnection
from .models import Notification, Unreadable
from .normalise import normalise
from .socket import Patience
from .subscriptions import Outcome, Wanted, subscribe


class EventSubSource:
    """Fulfils ``Source``. ``seen`` is the account's: it outlives sockets and connections."""

    def __init__(
        self,
        *,
        user_id: int,
        broadcaster: str,
        client: TwitchClient,
        tokens: AccessTokens,
        seen: RecentIds,
        settings: TwitchSettings,
        telemetry: Telemetry,
        now: Now,
        patience: Patience | None = None,
    ) -> None:
        self._user_id = user_id
        self._broadcaster = broadcaster
        self._client = client
        self._tokens = tokens
        self._seen = seen
        self._settings = settings
        self._telemetry = telemetry
        self._now = now
        self._patience = patience or Patience()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EventSubConnection]:
        """A subscribed connection; see ``Source.open``. ReloginNeeded also when it is revoked."""
        failure: StreampaiError | None = None
        async with trio.open_nursery() as nursery:
            connection = EventSubConnection(
                url=f"{self._settings.eventsub_url}?keepalive_timeout_seconds={self._settings.keepalive}",
                subscribe=self._subscribe,
                refuse=self._tokens.refuse,
                dropped=self._dropped,
                seen=self._seen,
                now=self._now,
                patience=self._patience,
                nursery=nursery,
            )
            # Caught here, these do not become a group on their way out of the nursery.
            try:
                await connection.begin()
                yield connection
                failure = connection.failure
            except StreampaiError as exc:
                failure = exc
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def normalise(
        self, notification: Notification | Unreadable, received_at: datetime
    ) -> Sequence[PlatformEvent]:
        return normalise(notification, user_id=self._user_id, received_at=received_at)

    async def _subscribe(self, session_id: str, wanted: Sequence[Wanted]) -> Outcome:
        return await subscribe(
            self._client, broadcaster=self._broadcaster, session_id=session_id, wanted=wanted
        )

    def _dropped(self, reason: str) -> None:
        self._telemetry.emit(
            PlatformEventDropped(user_id=self._user_id, platform=NAME, reason=reason)
        )
