"""The telemetry bus: emitting is a plain call, listeners are plain functions.

One object is made by the application and handed down; there is none of it in
module scope.
"""

from collections.abc import Callable

from .events import TelemetryEvent

Listener = Callable[[TelemetryEvent], None]


class Telemetry:
    """Calls every listener of an event's class, in the order they were attached.

    A listener must be quick and must not raise: what it raises reaches the
    emitter, as a fault in the emitter's own code would.
    """

    def __init__(self) -> None:
        self._all: list[Listener] = []
        self._by_class: dict[type[TelemetryEvent], list[Listener]] = {}

    def attach(self, listener: Listener, *classes: type[TelemetryEvent]) -> None:
        """Listen to ``classes``, or to everything when none is given."""
        if not classes:
            self._all.append(listener)
        for cls in classes:
            self._by_class.setdefault(cls, []).append(listener)

    def detach(self, listener: Listener) -> None:
        """Remove the listener everywhere; unknown ones are ignored."""
        for listeners in (self._all, *self._by_class.values()):
            if listener in listeners:
                listeners.remove(listener)

    def emit(self, event: TelemetryEvent) -> None:
        for listener in self._all:
            listener(event)
        for listener in self._by_class.get(type(event), ()):
            listener(event)
