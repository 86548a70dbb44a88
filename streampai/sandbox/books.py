"""What was asked of a service: a bounded log of calls, counts by path, the busiest window."""

import re
from collections import Counter, deque
from typing import Any

import attrs

from .agenda import Agenda
from .options import stamp

# Long enough for a whole test run's calls, short enough to be sent as one answer.
LOG_LENGTH = 2_000
# More than the services have; the rest is somebody guessing.
PATHS_KEPT = 500

_ID = re.compile(r"/(?:[0-9a-f]{32}|\d{2,})(?=/|$)")


@attrs.define(eq=False)
class Call:
    """One request. ``status`` 0: the connection ended before an answer was sent."""

    number: int
    at: str
    method: str
    path: str
    query: str
    status: int = 0
    fault: str = ""


class CallBook:
    """The calls of one service; the window is the one Cloudflare counts by."""

    def __init__(self, agenda: Agenda, *, window: float) -> None:
        self._agenda = agenda
        self._window = window
        self._recent: deque[float] = deque(maxlen=100_000)
        self._log: deque[Call] = deque(maxlen=LOG_LENGTH)
        self._paths: Counter[str] = Counter()
        self.total = 0
        self.peak = 0

    def open(self, method: str, path: str, query: str) -> Call:
        now = self._agenda.now()
        self._recent.append(now)
        while self._recent[0] < now - self._window:
            self._recent.popleft()
        self.peak = max(self.peak, len(self._recent))
        self.total += 1
        known = f"{method} {_ID.sub('/:id', path)}"
        if known not in self._paths and len(self._paths) >= PATHS_KEPT:
            known = "others"
        self._paths[known] += 1
        call = Call(self.total, stamp(digits=3), method, path, query)
        self._log.append(call)
        return call

    def calls(self, method: str = "*", path: str = "") -> list[Call]:
        """Logged calls, oldest first, of ``method`` whose path contains ``path``."""
        return [c for c in self._log if method in ("*", c.method) and path in c.path]

    def state(self, last: int) -> dict[str, Any]:
        return {
            "total": self.total,
            "peak": self.peak,
            "window": self._window,
            "paths": dict(sorted(self._paths.items())),
            "log": [attrs.asdict(call) for call in list(self._log)[-last:]],
        }
