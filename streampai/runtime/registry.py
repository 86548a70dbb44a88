"""Names: a dictionary from key to whoever answers to it.

    with registry.registered(("stream_state", 42), server):
        ...
    server = registry.lookup(("stream_state", 42))

Everything is a plain call, so a name is there or it is not, with nothing in
between.
"""

from collections.abc import Callable, Hashable
from typing import Any, Literal

import attrs

from .child import Child, current_child
from .errors import AlreadyRegistered, NotOwner


@attrs.frozen
class RegistryChange:
    """What a listener is told."""

    what: Literal["registered", "unregistered"]
    key: Hashable
    value: object


@attrs.frozen
class RegistryEntry:
    """A name, who answers to it, and in whose task it was taken."""

    key: Hashable
    value: Any
    # The supervised child in whose task the name was taken, if any.
    owner: Child | None

    @property
    def deserted(self) -> bool:
        """Its owner has been given up by its supervisor and cannot clean up after itself."""
        return self.owner is not None and self.owner.outcome is not None


class Registration:
    """A name for the duration of a ``with`` block; what ``Registry.registered`` gives."""

    # Not a generator: most children have one of these for all their life.
    __slots__ = ("_key", "_registry", "_value")

    def __init__(self, registry: "Registry", key: Hashable, value: object) -> None:
        self._registry = registry
        self._key = key
        self._value = value

    def __enter__(self) -> None:
        self._registry.register(self._key, self._value)

    def __exit__(self, *_: object) -> None:
        self._registry.unregister(self._key, self._value)


RegistryListener = Callable[[RegistryChange], None]


# Entries of owners that ended without a word are looked for when so many have
# come on top of those in use: a little work for each registration.
SLACK = 64


def exact_key(key: Hashable) -> Hashable:
    # Python finds 1, True and 1.0 equal; as names they are three.
    if not isinstance(key, tuple):
        return (key, type(key))
    types = tuple(map(type, key))
    if tuple in types:
        return tuple(map(exact_key, key))
    return (key, types)


class Registry:
    """Unique names. Keys are compared with their types.

    A name taken inside a supervised child is free again as soon as that child
    has ended for its supervisor, even when its task was abandoned and lives on.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, RegistryEntry] = {}
        self._sweep_at = SLACK
        self._listeners: list[RegistryListener] = []

    def register(self, key: Hashable, value: object) -> None:
        """Give ``key`` to ``value``. Raises AlreadyRegistered, which names the owner."""
        exact = exact_key(key)
        present = self._entries.get(exact)
        if present is not None:
            if not present.deserted:
                raise AlreadyRegistered(key, present.value)
            self._remove(exact, present)
        elif len(self._entries) >= self._sweep_at:
            self._sweep()
        entry = RegistryEntry(key, value, current_child())
        self._entries[exact] = entry
        self._tell("registered", entry)

    def update(self, key: Hashable, change: Callable[[Any], object]) -> tuple[Any, Any]:
        """Put ``change(value)`` in the value's place and return both, the new one first.

        Only for the supervised child in whose task the key was taken; raises
        NotOwner. From then on it is the new value that can be unregistered.
        """
        exact = exact_key(key)
        present = self._entries.get(exact)
        if present is None or present.deserted or present.owner is not current_child():
            raise NotOwner(key)
        value = change(present.value)
        self._entries[exact] = attrs.evolve(present, value=value)
        return value, present.value

    def unregister(self, key: Hashable, value: object) -> None:
        """Free the key if it is this value's; otherwise do nothing."""
        exact = exact_key(key)
        present = self._entries.get(exact)
        if present is not None and present.value is value:
            self._remove(exact, present)

    def lookup(self, key: Hashable) -> Any:
        """Whoever has the key now, or None."""
        entry = self._entries.get(exact_key(key))
        if entry is None or entry.deserted:
            return None
        return entry.value

    def keys(self) -> list[Hashable]:
        return [entry.key for entry in self._entries.values() if not entry.deserted]

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: Hashable) -> bool:
        entry = self._entries.get(exact_key(key))
        return entry is not None and not entry.deserted

    def registered(self, key: Hashable, value: object) -> "Registration":
        """Hold the key for the duration of a ``with`` block."""
        return Registration(self, key, value)

    def listen(self, listener: RegistryListener) -> None:
        """Call ``listener`` at every later change. It must be quick and must not raise."""
        self._listeners.append(listener)

    def unlisten(self, listener: RegistryListener) -> None:
        """Stop calling it; unknown ones are ignored."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _sweep(self) -> None:
        for exact, entry in list(self._entries.items()):
            if entry.deserted:
                self._remove(exact, entry)
        self._sweep_at = 2 * len(self._entries) + SLACK

    def _remove(self, exact: Hashable, entry: RegistryEntry) -> None:
        del self._entries[exact]
        self._tell("unregistered", entry)

    def _tell(self, what: Literal["registered", "unregistered"], entry: RegistryEntry) -> None:
        if self._listeners:
            change = RegistryChange(what, entry.key, entry.value)
            for listener in tuple(self._listeners):
                listener(change)
