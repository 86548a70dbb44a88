"""The accounts that users have connected, one per platform, their tokens sealed."""

import sqlite3
from typing import Any

import attrs
import orjson

from ..errors import CommandRefused
from ..platforms.platform import Identity, Tokens
from ..settings import Secret
from .database import Database
from .secretbox import SecretBox, SecretUnreadable
from .times import from_milliseconds, to_milliseconds

_KIND = "tokens"
_COLUMNS = "user_id, platform, platform_user_id, login, display_name, tokens, relogin, reason"
_UNREADABLE = "The stored tokens cannot be decrypted; log in again."


@attrs.frozen(kw_only=True)
class StoredAccount:
    """``relogin``: only a new log-in at the platform helps; ``reason`` is a sentence."""

    platform: str
    identity: Identity
    tokens: Tokens
    relogin: bool
    reason: str


class Accounts:
    """Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def save(self, user_id: int, platform: str, identity: Identity, tokens: Tokens) -> None:
        """Connect an account, in place of the one before; *re-login needed* is over."""
        row = (
            user_id,
            platform,
            identity.platform_user_id,
            identity.login,
            identity.display_name,
            self._seal(user_id, platform, tokens),
        )
        await self._database.write(
            lambda connection: (
                connection.execute(
                    f"INSERT OR REPLACE INTO accounts ({_COLUMNS})"
                    " VALUES (?, ?, ?, ?, ?, ?, 0, '')",
                    row,
                ).rowcount
            )
        )

    async def save_tokens(
        self, user_id: int, platform: str, tokens: Tokens, *, of: str | None = None
    ) -> None:
        """Refreshed tokens, ``of`` this platform's user id if given: another account that was
        connected meanwhile keeps its own.

        Raises CommandRefused ``platform_not_connected``: the account is not there any more.
        """
        sealed = self._seal(user_id, platform, tokens)
        await self._update(
            user_id,
            platform,
            "tokens = ?, relogin = 0, reason = ''",
            sealed,
            platform_user_id=of,
        )

    async def mark(self, user_id: int, platform: str, relogin: bool, reason: str) -> None:
        """Note whether a new log-in is needed. Raises CommandRefused ``platform_not_connected``."""
        await self._update(user_id, platform, "relogin = ?, reason = ?", relogin, reason)

    async def get(self, user_id: int, platform: str) -> StoredAccount | None:
        """Tokens that cannot be decrypted come back empty, with ``relogin`` set."""
        rows = await self._rows("user_id = ? AND platform = ?", user_id, platform)
        return self._account(rows[0]) if rows else None

    async def all(self, user_id: int) -> list[StoredAccount]:
        """By platform."""
        rows = await self._rows("user_id = ? ORDER BY platform", user_id)
        return [self._account(row) for row in rows]

    async def delete(self, user_id: int, platform: str) -> None:
        """Forget the account and its tokens; an unknown one is forgotten already."""
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM accounts WHERE user_id = ? AND platform = ?", (user_id, platform)
                ).rowcount
            )
        )

    async def _update(
        self,
        user_id: int,
        platform: str,
        change: str,
        *values: object,
        platform_user_id: str | None = None,
    ) -> None:
        def update(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                f"UPDATE accounts SET {change} WHERE user_id = ? AND platform = ?"
                " AND platform_user_id = coalesce(?, platform_user_id)",
                (*values, user_id, platform, platform_user_id),
            )
            if not cursor.rowcount:
                raise CommandRefused(code="platform_not_connected", platform=platform)

        await self._database.write(update)

    async def _rows(self, condition: str, *values: object) -> list[Any]:
        return await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM accounts WHERE {condition}", values
            ).fetchall()
        )

    def _seal(self, user_id: int, platform: str, tokens: Tokens) -> bytes:
        plain = orjson.dumps(
            {
                "access": tokens.access.reveal(),
                "refresh": tokens.refresh.reveal(),
                "expires_at": to_milliseconds(tokens.expires_at),
                "scopes": tokens.scopes,
            }
        )
        return self._box.seal(
            Secret(plain.decode()), user_id=user_id, platform=platform, kind=_KIND
        )

    def _account(self, row: Any) -> StoredAccount:
        user_id, platform, platform_user_id, login, display_name, sealed, relogin, reason = row
        try:
            plain = self._box.open(sealed, user_id=user_id, platform=platform, kind=_KIND)
        except SecretUnreadable:
            tokens, relogin, reason = _NO_TOKENS, True, _UNREADABLE
        else:
            tokens = _tokens(plain)
        return StoredAccount(
            platform=platform,
            identity=Identity(
                platform_user_id=platform_user_id, login=login, display_name=display_name
            ),
            tokens=tokens,
            relogin=bool(relogin),
            reason=reason,
        )


_NO_TOKENS = Tokens(access=Secret(""), refresh=Secret(""))


def _tokens(plain: Secret) -> Tokens:
    body = orjson.loads(plain.reveal())
    return Tokens(
        access=Secret(body["access"]),
        refresh=Secret(body["refresh"]),
        expires_at=from_milliseconds(body["expires_at"]),
        scopes=tuple(body["scopes"]),
    )
