"""Publications of the durable topics, numbered without holes, and each topic's epoch."""

import secrets
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import attrs

from ..names import topic_owner
from .database import Database
from .times import to_milliseconds


class HoleRefused(Exception):
    """Rows that do not continue their topic: a bug of the caller, and nothing was stored."""

    def __init__(self, topic: str, expected: int, got: int) -> None:
        self.topic = topic
        self.expected = expected
        self.got = got
        super().__init__(f"{topic}: offset {expected} comes next, got {got}")


@attrs.frozen(kw_only=True)
class EventRow:
    """One publication. ``sequence`` orders all of a user's events and is never used twice.

    ``event_id`` is the natural id that doubles are known by, None for what cannot
    come twice. ``payload`` is what browsers get.
    """

    topic: str
    offset: int
    sequence: int
    event_id: str | None
    kind: str
    occurred_at: datetime
    payload: bytes = attrs.field(repr=False)


class Events:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self,
        user_id: int,
        session_id: str | None,
        rows: Sequence[EventRow],
        *,
        statistics: bytes | None = None,
    ) -> None:
        """Store ``rows``, and with them the statistics of the show ``session_id``.

        All or nothing. Each topic's rows must continue it without a hole
        (HoleRefused) and belong to the user (ValueError). LookupError for
        statistics of an unknown show.
        """
        for row in rows:
            if topic_owner(row.topic) != user_id:
                raise ValueError(f"topic {row.topic} is not of user {user_id}")

        def insert(connection: sqlite3.Connection) -> None:
            topics: dict[str, tuple[int, int]] = {}
            values = []
            for row in rows:
                topic_id, top = topics.get(row.topic) or _open_topic(connection, row.topic)
                if row.offset != top + 1:
                    raise HoleRefused(row.topic, top + 1, row.offset)
                topics[row.topic] = (topic_id, row.offset)
                values.append(
                    (
                        topic_id,
                        row.offset,
                        user_id,
                        session_id,
                        row.sequence,
                        row.event_id,
                        row.kind,
                        to_milliseconds(row.occurred_at),
                        row.payload,
                    )
                )
            connection.executemany(
                "INSERT INTO events (topic_id, offset, user_id, session_id, sequence, event_id,"
                " kind, occurred_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            connection.executemany(
                "UPDATE topics SET top = ? WHERE id = ?",
                [(top, topic_id) for topic_id, top in topics.values()],
            )
            if statistics is not None:
                _set_statistics(connection, session_id, user_id, statistics)

        await self._database.write(insert)

    async def position(self, topic: str) -> tuple[str, int]:
        """The topic's epoch and highest offset; a new topic gets its epoch, durably."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT epoch, top FROM topics WHERE topic = ?", (topic,)
            ).fetchone()
        )
        if row is None:

            def create(connection: sqlite3.Connection) -> tuple[str, int]:
                topic_id, top = _open_topic(connection, topic)
                (epoch,) = connection.execute(
                    "SELECT epoch FROM topics WHERE id = ?", (topic_id,)
                ).fetchone()
                return epoch, top

            return await self._database.write(create)
        return row[0], row[1]

    async def tail(self, topic: str, *, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Offset and payload of the first ``limit`` publications past ``after``, ascending."""
        return await self._database.read(
            lambda connection: connection.execute(
                "SELECT offset, payload FROM events"
                " WHERE topic_id = (SELECT id FROM topics WHERE topic = ?) AND offset > ?"
                " ORDER BY offset LIMIT ?",
                (topic, after, limit),
            ).fetchall()
        )

    async def last(self, topic: str, limit: int) -> list[tuple[int, bytes]]:
        """Offset and payload of the newest ``limit`` publications, ascending."""
        newest_first = await self._database.read(
            lambda connection: connection.execute(
                "SELECT offset, payload FROM events"
                " WHERE topic_id = (SELECT id FROM topics WHERE topic = ?)"
                " ORDER BY offset DESC LIMIT ?",
                (topic, limit),
            ).fetchall()
        )
        return newest_first[::-1]

    async def recent_ids(self, user_id: int, limit: int) -> list[str]:
        """The natural ids of the user's newest ``limit`` events that have one, oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT event_id FROM events WHERE user_id = ? AND event_id IS NOT NULL"
                " ORDER BY sequence DESC LIMIT ?",
                (user_id, limit),
            ).fetchall()
        )
        return [event_id for (event_id,) in reversed(rows)]

    async def last_sequence(self, user_id: int) -> int:
        """The user's highest sequence number; 0 before the first event."""
        (highest,) = await self._database.read(
            lambda connection: connection.execute(
                "SELECT coalesce(max(sequence), 0) FROM events WHERE user_id = ?", (user_id,)
            ).fetchone()
        )
        return int(highest)

    async def of_session(
        self, session_id: str, *, after_sequence: int, limit: int
    ) -> list[tuple[int, bytes]]:
        """Sequence and payload of the show's first ``limit`` events past ``after_sequence``."""
        return await self._database.read(
            lambda connection: connection.execute(
                "SELECT sequence, payload FROM events WHERE session_id = ? AND sequence > ?"
                " ORDER BY sequence LIMIT ?",
                (session_id, after_sequence, limit),
            ).fetchall()
        )

    async def page(self, user_id: int, *, before_sequence: int | None, limit: int) -> list[bytes]:
        """Payloads of the newest ``limit`` events of all the user's topics below
        ``before_sequence`` (None: of all there are), oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT payload FROM events WHERE user_id = ? AND sequence < ?"
                " ORDER BY sequence DESC LIMIT ?",
                (user_id, _ABOVE_ALL if before_sequence is None else before_sequence, limit),
            ).fetchall()
        )
        return [payload for (payload,) in reversed(rows)]


_ABOVE_ALL = 2**63 - 1


def _open_topic(connection: sqlite3.Connection, topic: str) -> tuple[int, int]:
    row = connection.execute("SELECT id, top FROM topics WHERE topic = ?", (topic,)).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO topics (topic, epoch, top) VALUES (?, ?, 0) RETURNING id, top",
            (topic, secrets.token_hex(8)),
        ).fetchone()
    return row[0], row[1]


def _set_statistics(
    connection: sqlite3.Connection, session_id: str | None, user_id: int, statistics: bytes
) -> None:
    cursor = connection.execute(
        "UPDATE streams SET statistics = ? WHERE id = ? AND user_id = ?",
        (statistics, session_id, user_id),
    )
    if not cursor.rowcount:
        raise LookupError(f"no show {session_id} of user {user_id}")
