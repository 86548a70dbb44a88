"""Storage as cloudflare/ wants it: one user's intents and live input.

cloudflare/ knows nothing of storage; it asks for an ``IntentLog`` and an
``InputStore``, and these two give them one user's rows.
"""

from collections.abc import Mapping, Sequence

from ..cloudflare import LiveInput
from ..platforms.platform import Now
from ..storage import Intent, Storage, StoredInput


class StoredIntents:
    """The intents of one user that cloudflare/ makes."""

    def __init__(self, storage: Storage, user_id: int) -> None:
        self._storage = storage
        self._user_id = user_id

    async def begin(self, kind: str, key: str, details: Mapping[str, object]) -> int:
        return await self._storage.intents.begin(self._user_id, kind, key, dict(details))

    async def finish(self, intent_id: int, outcome: str, result: Mapping[str, object]) -> None:
        await self._storage.intents.finish(intent_id, outcome, dict(result))

    async def open(self) -> Sequence[Intent]:
        return await self._storage.intents.open_for(self._user_id)


class StoredLiveInput:
    """The live input of one user."""

    def __init__(self, storage: Storage, user_id: int, now: Now) -> None:
        self._storage = storage
        self._user_id = user_id
        self._now = now

    async def get(self) -> LiveInput | None:
        stored = await self._storage.inputs.get(self._user_id)
        if stored is None:
            return None
        return LiveInput(
            uid=stored.uid,
            ingest_url=stored.ingest_url,
            stream_key=stored.stream_key,
            created=stored.created_at,
        )

    async def save(self, live_input: LiveInput) -> None:
        await self._storage.inputs.save(
            self._user_id,
            StoredInput(
                uid=live_input.uid,
                ingest_url=live_input.ingest_url,
                stream_key=live_input.stream_key,
                created_at=live_input.created or self._now(),
            ),
        )
