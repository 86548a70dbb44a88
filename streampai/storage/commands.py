"""Command ids already seen, so that a command sent twice acts once."""

import sqlite3
from datetime import datetime, timedelta

import attrs

from .database import Database
from .times import Now, from_milliseconds, to_milliseconds

# A client repeats within minutes; a week covers a laptop that slept over a holiday.
_KEPT = timedelta(days=7)


@attrs.frozen(kw_only=True)
class UnfinishedCommand:
    """Accepted, and not answered yet."""

    id: str
    method: str
    accepted_at: datetime


class Commands:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    async def accept(self, command_id: str, user_id: int, method: str) -> bool:
        """Whether this id is new for the user; durable on return. Ids are kept for a week."""
        now = self._now()
        oldest = to_milliseconds(now - _KEPT)
        row = (user_id, command_id, method, to_milliseconds(now))

        def insert(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM commands WHERE accepted_at < ?", (oldest,))
            cursor = connection.execute(
                "INSERT INTO commands (user_id, id, method, accepted_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                row,
            )
            return cursor.rowcount == 1

        return await self._database.write(insert)

    async def withdraw(self, command_id: str, user_id: int) -> None:
        """It was refused after all: the id is new again."""

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM commands WHERE user_id = ? AND id = ? AND outcome IS NULL",
                (user_id, command_id),
            )

        await self._database.write(delete)

    async def seen(self, command_id: str, user_id: int) -> bool:
        """Whether this id has been accepted before."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT 1 FROM commands WHERE user_id = ? AND id = ?", (user_id, command_id)
            ).fetchone()
        )
        return row is not None

    async def unfinished(self, user_id: int) -> list[UnfinishedCommand]:
        """What was accepted and has no outcome yet, oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT id, method, accepted_at FROM commands"
                " WHERE user_id = ? AND outcome IS NULL ORDER BY accepted_at",
                (user_id,),
            ).fetchall()
        )
        return [
            UnfinishedCommand(id=id, method=method, accepted_at=from_milliseconds(at))
            for id, method, at in rows
        ]

    async def finish(self, command_id: str, user_id: int, outcome_event: bytes) -> None:
        """Keep how it ended, to be told again to whoever repeats it. Unknown ids: LookupError."""

        def update(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "UPDATE commands SET outcome = ? WHERE user_id = ? AND id = ?",
                (outcome_event, user_id, command_id),
            )
            if not cursor.rowcount:
                raise LookupError(f"no command {command_id} of user {user_id}")

        await self._database.write(update)

    async def outcome(self, command_id: str, user_id: int) -> bytes | None:
        """How it ended; None while it is under way, and for unknown ids."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT outcome FROM commands WHERE user_id = ? AND id = ?", (user_id, command_id)
            ).fetchone()
        )
        return row[0] if row else None
