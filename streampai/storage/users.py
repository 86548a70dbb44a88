"""Who may log in. Passwords are kept as Argon2id hashes."""

import base64
import re
import secrets
import sqlite3
import unicodedata
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..errors import BadRequest, CommandRefused, NotAuthorised, StorageUnavailable
from .database import Database
from .times import Now, from_milliseconds, to_milliseconds

MIN_PASSWORD = 8
# Long enough for any passphrase; hashing must not become a way to keep us busy.
MAX_PASSWORD = 1024
_NAME = re.compile(r"[a-z0-9_.-]{1,32}")
_COLUMNS = "id, name, admin, created_at"


@attrs.frozen(kw_only=True)
class User:
    id: int
    name: str
    admin: bool
    created_at: datetime


@attrs.frozen(kw_only=True)
class Argon2Parameters:
    """OWASP's second choice: two passes over 19 MiB, about 40 ms. ``memory`` is in KiB."""

    time_cost: int = 2
    memory: int = 19 * 1024
    parallelism: int = 1


class Users:
    """The users of this daemon. Every call raises StorageUnavailable when the store fails."""

    def __init__(self, database: Database, now: Now, argon2: Argon2Parameters) -> None:
        self._database = database
        self._now = now
        self._hasher = PasswordHasher(
            time_cost=argon2.time_cost,
            memory_cost=argon2.memory,
            parallelism=argon2.parallelism,
        )
        # No password has this hash, but to find that out takes as long as for a real one.
        self._nobody = (
            f"$argon2id$v=19$m={argon2.memory},t={argon2.time_cost},p={argon2.parallelism}"
            f"${_unpadded(secrets.token_bytes(16))}${_unpadded(secrets.token_bytes(32))}"
        )
        # Each hash fills a core and 19 MiB; a storm of log-ins must not starve the rest.
        self._hashing = trio.CapacityLimiter(2)

    async def add(self, name: str, password: str, *, admin: bool = False) -> User:
        """Raises BadRequest naming the field: form, length, or the name is taken."""
        if not _NAME.fullmatch(name):
            raise BadRequest("A name has 1 to 32 of a-z, 0-9, '_', '.' and '-'.", field="name")
        password_hash = await self._hash(password)
        created = to_milliseconds(self._now())

        def insert(connection: sqlite3.Connection) -> User:
            try:
                cursor = connection.execute(
                    "INSERT INTO users (name, password_hash, admin, created_at)"
                    " VALUES (?, ?, ?, ?)",
                    (name, password_hash, admin, created),
                )
            except sqlite3.IntegrityError as error:
                raise BadRequest(f"The name {name} is taken.", field="name") from error
            assert cursor.lastrowid is not None
            return _user((cursor.lastrowid, name, admin, created))

        return await self._database.write(insert)

    async def authenticate(self, name: str, password: str) -> User:
        """The user, if the password is right; else NotAuthorised ``invalid_credentials``.

        Takes the same work whether the name is known or not.
        """
        if len(password) > MAX_PASSWORD:
            raise NotAuthorised(code="invalid_credentials")
        row = await self._with_hash(name) if _NAME.fullmatch(name) else None
        stored = row[-1] if row else self._nobody
        right = await trio.to_thread.run_sync(
            _verify, self._hasher, stored, _bytes(password), limiter=self._hashing
        )
        if not right or not row:
            raise NotAuthorised(code="invalid_credentials")
        user = _user(row[:-1])
        if self._hasher.check_needs_rehash(stored):
            # Only now is the password at hand. A store that cannot keep the better
            # hash is no reason to refuse the right password; the next log-in tries again.
            with suppress(StorageUnavailable):
                await self._replace(user.id, stored, await self._hash(password))
        return user

    async def get(self, user_id: int) -> User | None:
        return await self._find("id", user_id)

    async def by_name(self, name: str) -> User | None:
        return await self._find("name", name)

    async def all(self) -> list[User]:
        """Everybody, by id."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM users ORDER BY id"
            ).fetchall()
        )
        return [_user(row) for row in rows]

    async def set_password(self, name: str, password: str) -> None:
        """Also ends every log-in of the user: whoever knew the old one is out.

        Raises BadRequest for the password's length, CommandRefused ``not_found``.
        """
        password_hash = await self._hash(password)

        def update(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "UPDATE users SET password_hash = ? WHERE name = ? RETURNING id",
                (password_hash, name),
            ).fetchone()
            if row is None:
                raise CommandRefused(f"There is no user {name}.", code="not_found")
            connection.execute("DELETE FROM sessions WHERE user_id = ?", row)

        await self._database.write(update)

    async def _find(self, column: str, value: int | str) -> User | None:
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM users WHERE {column} = ?", (value,)
            ).fetchone()
        )
        return _user(row) if row else None

    async def _with_hash(self, name: str) -> Any:
        return await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS}, password_hash FROM users WHERE name = ?", (name,)
            ).fetchone()
        )

    async def _replace(self, user_id: int, old: str, new: str) -> None:
        # Only the hash that was verified: the password may have been changed meanwhile.
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
                    (new, user_id, old),
                ).rowcount
            )
        )

    async def _hash(self, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise BadRequest(
                f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.", field="password"
            )
        return await trio.to_thread.run_sync(
            self._hasher.hash, _bytes(password), limiter=self._hashing
        )


def _bytes(password: str) -> bytes:
    # The same keys must give the same password: systems compose an "é" differently.
    # Lone surrogates come from outside too, and are no reason to crash.
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")


def _verify(hasher: PasswordHasher, stored: str, password: bytes) -> bool:
    try:
        return hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _user(row: tuple[int, str, int, int]) -> User:
    user_id, name, admin, created = row
    return User(id=user_id, name=name, admin=bool(admin), created_at=from_milliseconds(created))
