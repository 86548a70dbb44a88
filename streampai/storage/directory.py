"""The data directory: who may use it at the same time, its key file, its database file.

Every process that has the store open holds a shared lock on the file ``lock``.
Changing the schema needs the exclusive lock: no process may find the tables
changed beneath its feet. Locks end with their process, however it ends.
"""

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TypedDict

from ..errors import SettingsError, StorageUnavailable
from ..settings import Secret
from .connection import connect
from .migrations import migrate, version
from .secretbox import SecretBox, SecretUnreadable, new_key, parse_keys

# Two processes started together: one migrates while the other waits. A daemon
# that runs keeps its lock for good, and waiting longer would not help.
_PATIENCE = 5.0


class _Check(TypedDict):
    user_id: int
    platform: str
    kind: str


# No user has the number 0.
_CHECK = _Check(user_id=0, platform="streampai", kind="check")


class DataDirectory:
    """All calls block; to be used in a thread. They raise OSError and sqlite3.Error as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "streampai.db"
        self.key_file = path / "key"
        self._lock: int | None = None

    def open(self, migrations: Sequence[str]) -> None:
        """Make what is missing, migrate, and hold the shared lock until ``close``.

        Raises StorageUnavailable when the schema must change and another process
        has the store open. Whatever it raises, nothing is held then.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            self._bring_up(migrations)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the lock. May be called again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret_box(self, configured: Secret) -> SecretBox:
        """The configured keys, or those of the key file, which is made when nothing needs an older.

        Raises SettingsError when a key is malformed, is missing, or is not the one
        that this store's secrets were sealed with.
        """
        with closing(connect(self.database, "rw")) as connection:
            # Two who start at once with different keys must not both be the first.
            connection.execute("BEGIN IMMEDIATE")
            checks: dict[int, bytes] = dict(
                connection.execute("SELECT key_id, sealed FROM checks").fetchall()
            )
            if configured:
                origin, text = "STREAMPAI_KEY", configured
            else:
                origin, text = str(self.key_file), self._key_file(create=not checks)
            keys = parse_keys(text, origin)
            box = SecretBox(keys)
            for key_id in checks.keys() & keys.keys():
                try:
                    box.open(checks[key_id], **_CHECK)
                except SecretUnreadable:
                    raise SettingsError(
                        f"{origin}: key {key_id} is not the one that {self.database} was written with"
                    ) from None
            if box.newest not in checks:
                connection.execute(
                    "INSERT INTO checks (key_id, sealed) VALUES (?, ?)",
                    (box.newest, box.seal(Secret("streampai"), **_CHECK)),
                )
            connection.execute("COMMIT")
        return box

    def _bring_up(self, migrations: Sequence[str]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not (self._try_lock(fcntl.LOCK_SH) and self._is_current(migrations)):
            # Let go first, or two who both wait for the exclusive lock wait for ever.
            self._unlock()
            if self._try_lock(fcntl.LOCK_EX):
                self._migrate(migrations)
                # Not in one step, but whoever comes between finds nothing to do.
                self._unlock()
            elif time.monotonic() > deadline:
                raise StorageUnavailable(
                    f"{self.database} needs a newer schema and another process has it open."
                )
            else:
                time.sleep(0.02)

    def _key_file(self, *, create: bool) -> Secret:
        if create and not self.key_file.exists():
            self._make_key_file()
        try:
            mode = self.key_file.stat().st_mode
            text = self.key_file.read_text()
        except FileNotFoundError:
            raise SettingsError(
                f"{self.key_file} is missing, and the secrets in {self.database} need it"
            ) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{self.key_file} is open to others: expected mode 0600")
        return Secret(text)

    def _make_key_file(self) -> None:
        # Whole or not at all, also for another process that makes it just now.
        draft = self.path / f".key.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with open(descriptor, "w") as file:
                file.write(f"1:{new_key().reveal()}\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, self.key_file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        self._keep_names()

    def _try_lock(self, kind: int) -> bool:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(self) -> None:
        assert self._lock is not None
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _is_current(self, migrations: Sequence[str]) -> bool:
        if not self.database.exists():
            return False
        with closing(connect(self.database, "rw")) as connection:
            return version(connection) == len(migrations)

    def _migrate(self, migrations: Sequence[str]) -> None:
        # SQLite would make it readable for everybody; its side files take its mode.
        os.close(os.open(self.database, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(connect(self.database, "rw")) as connection:
            migrate(connection, self.database, migrations)
        self._keep_names()

    def _keep_names(self) -> None:
        """A file survives a power cut when its directory's entry does."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
