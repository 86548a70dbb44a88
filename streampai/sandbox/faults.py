"""What goes wrong, and when: by chance (seeded) and by number (the k-th matching call)."""

import math
import random
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import attrs
import trio

Headers = tuple[tuple[str, str], ...]
ACTIONS = ("status", "cut", "stall", "hold", "html", "failure", "slow", "empty")


def retry_after(seconds: float) -> Headers:
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)


@attrs.frozen(kw_only=True)
class Fault:
    """One call's fate.

    ``after_effect``: the service does what was asked and only then misbehaves.
    ``seconds``: how long ``stall`` (then the connection is cut), ``slow`` (then
    all is well) and ``hold`` (then all is well, unless released before) last.
    """

    action: str
    after_effect: bool = False
    status: int = 500
    seconds: float = 30.0
    headers: Headers = ()
    hold: "Hold | None" = None


@attrs.define(eq=False)
class Hold:
    """A call stopped at an exact point; ``reached`` is set there, ``release`` lets it go on."""

    name: str
    reached: trio.Event = attrs.field(factory=trio.Event)
    released: trio.Event = attrs.field(factory=trio.Event)

    def release(self) -> None:
        self.released.set()


@attrs.define(eq=False, kw_only=True)
class CallFault:
    """A fault for the ``nth`` call (and ``times`` - 1 after it; 0: for ever) whose method and path match.

    ``path`` is a shell pattern over the path without its query, for instance
    ``*/live_inputs/*/outputs``. Calls are counted from the moment this is added.
    """

    method: str = "*"
    path: str = "*"
    nth: int = 1
    times: int = 1
    fault: Fault
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if not fnmatchcase(method, self.method) or not fnmatchcase(path, self.path):
            return False
        self.seen += 1
        last = self.nth + self.times - 1 if self.times else self.seen
        return self.nth <= self.seen <= last


@attrs.define(kw_only=True)
class Chances:
    """Probabilities per call, 0 to 1, tried in this order; seconds where named so."""

    cut: float = 0.0
    cut_after_effect: float = 0.0
    error: float = 0.0
    error_after_effect: float = 0.0
    html: float = 0.0
    failure: float = 0.0
    unauthorized: float = 0.0
    rate_limited: float = 0.0
    retry_after: float = 1.0
    stall: float = 0.0
    stall_seconds: float = 30.0
    slow: float = 0.0
    slow_seconds: float = 1.0


class ServiceFaults:
    """The faults of one service's HTTP calls."""

    def __init__(
        self,
        rng: random.Random,
        *,
        limit_headers: Callable[[float], Headers] = retry_after,
    ) -> None:
        """``limit_headers``: how this service says when a 429 may be tried again."""
        self._limit_headers = limit_headers
        self.chances = Chances()
        # Bounded by who sets them: each is one request to the control port.
        self.calls: list[CallFault] = []
        self.holds: dict[str, Hold] = {}
        self._rng = rng

    def on_call(
        self,
        action: str,
        *,
        method: str = "*",
        path: str = "*",
        nth: int = 1,
        times: int = 1,
        after_effect: bool = False,
        status: int = 500,
        seconds: float = 30.0,
        headers: Headers = (),
        name: str = "",
    ) -> CallFault:
        """Let an exact call go wrong. For ``hold`` the Hold is in ``holds`` under ``name``.

        Raises ValueError for an unknown action.
        """
        if action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
        hold = None
        if action == "hold":
            hold = Hold(name or f"{method} {path} {nth}")
            self.holds[hold.name] = hold
        fault = Fault(
            action=action,
            after_effect=after_effect,
            status=status,
            seconds=seconds,
            headers=headers,
            hold=hold,
        )
        rule = CallFault(method=method, path=path, nth=nth, times=times, fault=fault)
        self.calls.append(rule)
        return rule

    def clear(self) -> None:
        """Back to health; whatever is held goes on."""
        self.chances = Chances()
        self.calls.clear()
        for hold in self.holds.values():
            hold.release()
        self.holds.clear()

    def decide(self, method: str, path: str) -> Fault | None:
        """The fate of this call. Every rule counts the call, the first that strikes wins."""
        struck = [rule.fault for rule in self.calls if rule.strikes(method, path)]
        return struck[0] if struck else self._by_chance()

    def _by_chance(self) -> Fault | None:
        c, chance = self.chances, self._happens
        if chance(c.cut):
            return Fault(action="cut")
        if chance(c.cut_after_effect):
            return Fault(action="cut", after_effect=True)
        if chance(c.error):
            return Fault(action="status", status=self._rng.choice((500, 502, 503)))
        if chance(c.error_after_effect):
            return Fault(action="status", status=502, after_effect=True)
        if chance(c.html):
            return Fault(action="html", status=502)
        if chance(c.failure):
            return Fault(action="failure")
        if chance(c.unauthorized):
            return Fault(action="status", status=401)
        if chance(c.rate_limited):
            return Fault(action="status", status=429, headers=self._limit_headers(c.retry_after))
        if chance(c.stall):
            return Fault(action="stall", seconds=c.stall_seconds)
        if chance(c.slow):
            return Fault(action="slow", seconds=c.slow_seconds)
        return None

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def state(self) -> dict[str, Any]:
        return {
            "chances": attrs.asdict(self.chances),
            "calls": [
                {
                    "action": rule.fault.action,
                    "method": rule.method,
                    "path": rule.path,
                    "nth": rule.nth,
                    "times": rule.times,
                    "after_effect": rule.fault.after_effect,
                    "seen": rule.seen,
                }
                for rule in self.calls
            ],
            "holds": [
                {
                    "name": hold.name,
                    "reached": hold.reached.is_set(),
                    "released": hold.released.is_set(),
                }
                for hold in self.holds.values()
            ],
        }
