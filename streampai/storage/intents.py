"""Effects on the outside world: what is about to be done, written before it is done.

After a crash the open ones say what may have happened out there without our
having seen the answer.
"""

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import orjson

from .database import Database
from .times import Now, from_milliseconds, to_milliseconds

OUTCOMES = ("done", "failed", "abandoned")
# Finished ones serve only to look back at what went wrong.
_KEPT = timedelta(days=30)


@attrs.frozen(kw_only=True)
class Intent:
    """``kind`` is what (``create_output``), ``key`` is on what; ``details`` hold no secret."""

    id: int
    user_id: int
    kind: str
    key: str
    details: Mapping[str, Any]
    created_at: datetime


class Intents:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    async def begin(self, user_id: int, kind: str, key: str, details: Mapping[str, Any]) -> int:
        """Its id. Durable on return: only then may the effect be tried."""
        now = self._now()
        row = (user_id, kind, key, orjson.dumps(details).decode(), to_milliseconds(now))
        oldest = to_milliseconds(now - _KEPT)

        def insert(connection: sqlite3.Connection) -> int:
            connection.execute(
                "DELETE FROM intents WHERE outcome IS NOT NULL AND finished_at < ?", (oldest,)
            )
            cursor = connection.execute(
                "INSERT INTO intents (user_id, kind, key, details, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

        return await self._database.write(insert)

    async def finish(self, intent_id: int, outcome: str, result: Mapping[str, Any]) -> None:
        """``outcome`` is done, failed or abandoned. The first outcome stands; unknown: LookupError."""
        if outcome not in OUTCOMES:
            raise ValueError(f"{outcome!r} is not one of {', '.join(OUTCOMES)}")
        values = (
            outcome,
            orjson.dumps(result).decode(),
            to_milliseconds(self._now()),
            intent_id,
        )

        def update(connection: sqlite3.Connection) -> None:
            known = connection.execute("SELECT 1 FROM intents WHERE id = ?", (intent_id,))
            if known.fetchone() is None:
                raise LookupError(f"no intent {intent_id}")
            connection.execute(
                "UPDATE intents SET outcome = ?, result = ?, finished_at = ?"
                " WHERE id = ? AND outcome IS NULL",
                values,
            )

        await self._database.write(update)

    async def open_for(self, user_id: int) -> list[Intent]:
        """The user's intents whose outcome is not known, oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT id, user_id, kind, key, details, created_at FROM intents"
                " WHERE user_id = ? AND outcome IS NULL ORDER BY id",
                (user_id,),
            ).fetchall()
        )
        return [
            Intent(
                id=intent_id,
                user_id=owner,
                kind=kind,
                key=key,
                details=orjson.loads(details),
                created_at=from_milliseconds(created),
            )
            for intent_id, owner, kind, key, details, created in rows
        ]
