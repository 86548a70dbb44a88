"""Shows: what was streamed, where to, how it stands and how it ended."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import orjson

from ..errors import CommandRefused
from .database import Database
from .times import Now, from_milliseconds, to_milliseconds

PHASES = ("starting", "streaming", "ending")
FINISHED = "finished"

_COLUMNS = (
    "id, user_id, phase, platforms, started_at, ended_at, disconnect_deadline, reason, summary,"
    " statistics"
)


@attrs.frozen(kw_only=True)
class StreamSession:
    """One show. ``phase`` is starting, streaming, ending or finished.

    ``disconnect_deadline`` is when the show ends if the encoder stays away.
    ``statistics`` is what :meth:`Events.append` was last given, as it was given.
    """

    id: str
    user_id: int
    phase: str
    platforms: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None = None
    disconnect_deadline: datetime | None = None
    reason: str = ""
    summary: Mapping[str, Any] = attrs.field(factory=dict)
    statistics: bytes | None = attrs.field(default=None, repr=False)


class Streams:
    """At most one show per user is not finished. Every call raises StorageUnavailable when
    the store fails; changes of an unknown show raise LookupError, a finished one stays as it is."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    async def begin(self, user_id: int, platforms: Sequence[str], id: str) -> StreamSession:
        """A show in phase ``starting``. Raises CommandRefused ``already_streaming``."""
        started = to_milliseconds(self._now())
        names = tuple(platforms)

        def insert(connection: sqlite3.Connection) -> None:
            open_row = connection.execute(
                "SELECT 1 FROM streams WHERE user_id = ? AND phase <> 'finished'", (user_id,)
            ).fetchone()
            if open_row:
                raise CommandRefused(code="already_streaming")
            connection.execute(
                "INSERT INTO streams (id, user_id, phase, platforms, started_at)"
                " VALUES (?, ?, 'starting', ?, ?)",
                (id, user_id, _json(names), started),
            )

        await self._database.write(insert)
        return StreamSession(
            id=id,
            user_id=user_id,
            phase="starting",
            platforms=names,
            started_at=from_milliseconds(started),
        )

    async def open_session(self, user_id: int) -> StreamSession | None:
        """The user's show that is not finished."""
        shows = await self._select("user_id = ? AND phase <> 'finished'", user_id)
        return shows[0] if shows else None

    async def open_sessions(self) -> list[StreamSession]:
        """Every user's show that is not finished."""
        return await self._select("phase <> 'finished' ORDER BY user_id")

    async def recent(self, user_id: int, limit: int) -> list[StreamSession]:
        """The user's shows, newest first."""
        return await self._select(
            "user_id = ? ORDER BY started_at DESC, rowid DESC LIMIT ?", user_id, limit
        )

    async def set_phase(self, id: str, phase: str, reason: str = "") -> bool:
        """Go on to a later phase; False when the show is past it or over, and nothing has changed.

        So a Stop that was accepted while a start was finishing is not overwritten by
        it. ``reason`` says why it is in this phase; a restart reads it again.
        ``finished`` is not a phase to set: a show ends by ``finish``.
        """
        if phase not in PHASES:
            raise ValueError(f"{phase!r} is not one of {', '.join(PHASES)}")
        earlier = PHASES[: PHASES.index(phase)]

        def update(connection: sqlite3.Connection) -> bool:
            present = connection.execute("SELECT phase FROM streams WHERE id = ?", (id,)).fetchone()
            if present is None:
                raise LookupError(f"no show {id}")
            if present[0] not in earlier:
                return False
            connection.execute(
                "UPDATE streams SET phase = ?, reason = ? WHERE id = ?", (phase, reason, id)
            )
            return True

        return await self._database.write(update)

    async def set_platforms(self, id: str, platforms: Sequence[str]) -> None:
        await self._update(id, "platforms = ?", _json(tuple(platforms)))

    async def set_deadline(self, id: str, deadline: datetime | None) -> None:
        await self._update(id, "disconnect_deadline = ?", to_milliseconds(deadline))

    async def finish(self, id: str, reason: str, summary: Mapping[str, Any]) -> None:
        """The show is over. Said again it changes nothing: the first end stands."""
        ended = to_milliseconds(self._now())

        def update(connection: sqlite3.Connection) -> None:
            known = connection.execute("SELECT phase FROM streams WHERE id = ?", (id,)).fetchone()
            if known is None:
                raise LookupError(f"no show {id}")
            connection.execute(
                "UPDATE streams SET phase = 'finished', ended_at = ?, disconnect_deadline = NULL,"
                " reason = ?, summary = ? WHERE id = ? AND phase <> 'finished'",
                (ended, reason, _json(summary), id),
            )

        await self._database.write(update)

    async def _update(self, id: str, change: str, value: object) -> None:
        def update(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                f"UPDATE streams SET {change} WHERE id = ? AND phase <> 'finished'", (value, id)
            )
            if cursor.rowcount:
                return
            # A show that has ended meanwhile needs neither a deadline nor platforms.
            if not connection.execute("SELECT 1 FROM streams WHERE id = ?", (id,)).fetchone():
                raise LookupError(f"no show {id}")

        await self._database.write(update)

    async def _select(self, condition: str, *values: object) -> list[StreamSession]:
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM streams WHERE {condition}", values
            ).fetchall()
        )
        return [_session(row) for row in rows]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _session(row: Any) -> StreamSession:
    return StreamSession(
        id=row[0],
        user_id=row[1],
        phase=row[2],
        platforms=tuple(orjson.loads(row[3])),
        started_at=from_milliseconds(row[4]),
        ended_at=from_milliseconds(row[5]),
        disconnect_deadline=from_milliseconds(row[6]),
        reason=row[7],
        summary=orjson.loads(row[8]),
        statistics=row[9],
    )
