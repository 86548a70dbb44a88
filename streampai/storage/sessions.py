"""Log-ins. The token is the browser's alone; the store has its SHA-256."""

import hashlib
import secrets
import sqlite3
from datetime import datetime

import attrs

from .database import Database
from .times import Now, from_milliseconds, to_milliseconds

# Kept to show the user which log-in is which; browsers' own are under 300.
_MAX_USER_AGENT = 512


@attrs.frozen(kw_only=True)
class Session:
    """One log-in. ``id`` may be shown and logged; ``csrf`` is for the session's own pages only."""

    id: str
    user_id: int
    created_at: datetime
    expires_at: datetime
    csrf: str = attrs.field(repr=False)


class Sessions:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    async def create(
        self, user_id: int, *, lifetime: float, user_agent: str = ""
    ) -> tuple[str, Session]:
        """A new log-in for ``lifetime`` seconds, and its token, which cannot be had again.

        Expired log-ins, of everybody, are cleared away with it.
        """
        token = secrets.token_urlsafe(32)
        created = to_milliseconds(self._now())
        expires = created + round(lifetime * 1000)
        session = Session(
            id=secrets.token_hex(8),
            user_id=user_id,
            created_at=from_milliseconds(created),
            expires_at=from_milliseconds(expires),
            csrf=_csrf(token),
        )
        row = (
            session.id,
            _fingerprint(token),
            user_id,
            user_agent[:_MAX_USER_AGENT],
            created,
            expires,
        )

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM sessions WHERE expires_at <= ?", (created,))
            connection.execute(
                "INSERT INTO sessions"
                " (id, token_hash, user_id, user_agent, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )

        await self._database.write(insert)
        return token, session

    async def find(self, token: str) -> Session | None:
        """The log-in of a token; None when unknown, revoked or expired."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT id, user_id, created_at, expires_at FROM sessions"
                " WHERE token_hash = ? AND expires_at > ?",
                (_fingerprint(token), to_milliseconds(self._now())),
            ).fetchone()
        )
        if row is None:
            return None
        session_id, user_id, created, expires = row
        return Session(
            id=session_id,
            user_id=user_id,
            created_at=from_milliseconds(created),
            expires_at=from_milliseconds(expires),
            csrf=_csrf(token),
        )

    async def revoke(self, session_id: str) -> None:
        """End one log-in; an unknown one is ended already."""
        await self._database.write(
            lambda connection: (
                connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,)).rowcount
            )
        )

    async def revoke_all(self, user_id: int) -> None:
        """End every log-in of the user."""
        await self._database.write(
            lambda connection: (
                connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,)).rowcount
            )
        )


def _fingerprint(token: str) -> bytes:
    # 256 random bits need no slow hash.
    return hashlib.sha256(_bytes(token)).digest()


def _csrf(token: str) -> str:
    # Follows from the token, so nothing in the store can forge a request.
    return hashlib.sha256(b"csrf:" + _bytes(token)).hexdigest()


def _bytes(token: str) -> bytes:
    # It comes from outside and may hold what UTF-8 cannot; such a token is merely unknown.
    return token.encode(errors="surrogatepass")
