"""Each user's live input, its stream key sealed."""

from datetime import datetime

import attrs

from ..settings import Secret
from .database import Database
from .secretbox import SecretBox, SecretUnreadable
from .times import from_milliseconds, to_milliseconds

_PROVIDER = "cloudflare"
_KIND = "stream_key"


@attrs.frozen(kw_only=True)
class StoredInput:
    """Where the user's encoder sends to; ``uid`` is the provider's name for it."""

    uid: str
    ingest_url: str
    stream_key: Secret
    created_at: datetime


class Inputs:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def get(self, user_id: int) -> StoredInput | None:
        """None also when the key cannot be decrypted: then the provider must be asked again."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT uid, ingest_url, stream_key, created_at FROM inputs WHERE user_id = ?",
                (user_id,),
            ).fetchone()
        )
        if row is None:
            return None
        uid, ingest_url, sealed, created = row
        try:
            key = self._box.open(sealed, user_id=user_id, platform=_PROVIDER, kind=_KIND)
        except SecretUnreadable:
            return None
        return StoredInput(
            uid=uid,
            ingest_url=ingest_url,
            stream_key=key,
            created_at=from_milliseconds(created),
        )

    async def save(self, user_id: int, stored: StoredInput) -> None:
        """In place of the one before."""
        sealed = self._box.seal(stored.stream_key, user_id=user_id, platform=_PROVIDER, kind=_KIND)
        row = (user_id, stored.uid, stored.ingest_url, sealed, to_milliseconds(stored.created_at))
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR REPLACE INTO inputs (user_id, uid, ingest_url, stream_key, created_at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    row,
                ).rowcount
            )
        )

    async def delete(self, user_id: int) -> None:
        await self._database.write(
            lambda connection: (
                connection.execute("DELETE FROM inputs WHERE user_id = ?", (user_id,)).rowcount
            )
        )
