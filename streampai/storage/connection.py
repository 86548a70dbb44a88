"""Connections to the store's file, and whose fault an error of SQLite is."""

import os
import sqlite3
from pathlib import Path

# Another process may hold the write lock: `streampai user add`, a backup. Its
# transactions take milliseconds; five seconds of them mean that something is stuck.
BUSY_TIMEOUT = 5.0

_STORE_AT_FAULT = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_NOWHERE = (0, 0)


class Connection(sqlite3.Connection):
    """A connection that knows which file it opened."""

    inode = _NOWHERE

    def still_at(self, path: Path) -> bool:
        """False when the file was removed or replaced: what is written here would be lost."""
        return self.inode == _inode(path) != _NOWHERE


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return _NOWHERE
    return (found.st_dev, found.st_ino)


def connect(path: Path, mode: str) -> Connection:
    """A connection in autocommit mode, for one thread at a time; ``mode`` is ro or rw.

    Never makes the file: one that has vanished must not come back empty.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    try:
        connection.inode = _inode(path)
        connection.execute("PRAGMA foreign_keys = ON")
        # Power may fail right after an acknowledgement; NORMAL would lose it.
        connection.execute("PRAGMA synchronous = FULL")
        # A burst may let the log grow; it shrinks to this again (64 MiB).
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def primary_code(error: BaseException) -> int:
    """SQLite's result code without the detail in its upper bytes."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def store_at_fault(error: BaseException) -> bool:
    """Whether the disk, the file or a neighbour is to blame, and not the statement."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in _STORE_AT_FAULT
