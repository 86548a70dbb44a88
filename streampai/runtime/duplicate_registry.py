"""Names that many may have: groups of whoever does the same thing.

    registry = DuplicateRegistry[Widget]()
    with registry.registered("overlay", widget):
        ...
    registry.dispatch("overlay", lambda widgets: [widget.refresh() for widget in widgets])

For messages to a group, PubSub is the better choice: it bounds what waits for whom.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from .child import current_child
from .registry import SLACK, RegistryEntry, exact_key

T = TypeVar("T")


class DuplicateRegistry(Generic[T]):
    """Any number of values under a key, oldest first, also equal ones. All are plain calls.

    Keys are compared with their types. What a supervised child has registered
    is gone as soon as it has ended for its supervisor.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, list[RegistryEntry]] = {}
        self._sweep_at = SLACK

    def register(self, key: Hashable, value: T) -> None:
        """Put ``value`` under ``key``, next to all others."""
        if len(self._entries) >= self._sweep_at:
            self._sweep()
        entry = RegistryEntry(key, value, current_child())
        self._entries[exact_key(key)] = [*self._living(key), entry]

    def unregister(self, key: Hashable, where: Callable[[T], bool] = lambda value: True) -> None:
        """Take away what the calling child has under ``key``, or those of it that ``where`` picks.

        Nobody else's; repeating does nothing.
        """
        me = current_child()
        self._keep(key, lambda entry: entry.owner is not me or not where(entry.value))

    @contextmanager
    def registered(self, key: Hashable, value: T) -> Iterator[None]:
        """Be under the key for the duration of the block."""
        self.register(key, value)
        mine = self._entries[exact_key(key)][-1]
        try:
            yield
        finally:
            self._keep(key, lambda entry: entry is not mine)

    def lookup(self, key: Hashable, where: Callable[[T], bool] = lambda value: True) -> list[T]:
        """The values under ``key``, or those of them that ``where`` picks."""
        return [entry.value for entry in self._living(key) if where(entry.value)]

    def dispatch(self, key: Hashable, callback: Callable[[list[T]], object]) -> None:
        """Call back once, here and now, with all values; not when there are none.

        What ``callback`` raises comes out.
        """
        values = self.lookup(key)
        if values:
            callback(values)

    def select(self, where: Callable[[Hashable, T], bool]) -> list[tuple[Hashable, T]]:
        """Every key with a value for which ``where(key, value)`` holds."""
        return [
            (entry.key, entry.value)
            for entries in self._entries.values()
            for entry in entries
            if not entry.deserted and where(entry.key, entry.value)
        ]

    def keys(self) -> list[Hashable]:
        """Each once, however many values it has."""
        return list(
            {exact_key(key): key for key, _ in self.select(lambda key, value: True)}.values()
        )

    def __len__(self) -> int:
        """How many values there are."""
        return len(self.select(lambda key, value: True))

    def _living(self, key: Hashable) -> list[RegistryEntry]:
        return [entry for entry in self._entries.get(exact_key(key), ()) if not entry.deserted]

    def _sweep(self) -> None:
        for entries in list(self._entries.values()):
            self._keep(entries[0].key, lambda entry: True)
        self._sweep_at = 2 * len(self._entries) + SLACK

    def _keep(self, key: Hashable, stays: Callable[[RegistryEntry], bool]) -> None:
        kept: list[Any] = [entry for entry in self._living(key) if stays(entry)]
        if kept:
            self._entries[exact_key(key)] = kept
        else:
            self._entries.pop(exact_key(key), None)
