"""Faults as JSON. All parts are optional; what is not named stays as it is.

{"cloudflare": {"cut": 0.1, "calls": [{"action": "hold", "name": "first output",
                "method": "POST", "path": "*/outputs", "nth": 1, "after_effect": true}]},
 "helix": {"error": 0.05}, "oauth": {"slow": 1, "slow_seconds": 20},
 "eventsub": {"duplicate": 0.2, "cut_every": 10},
 "cloudflare_knobs": {"status_shape": "string", "clock_skew": -30},
 "twitch_knobs": {"refresh": "replace", "refuse_refresh": true}}
"""

from collections.abc import Mapping
from typing import Any

import attrs

from .cloudflare_models import SHAPES
from .sandbox import Sandbox

REFRESHES = ("same", "new", "replace")
_CALL_FIELDS = {
    "action": str,
    "method": str,
    "path": str,
    "nth": int,
    "times": int,
    "after_effect": bool,
    "status": int,
    "seconds": (int, float),
    "name": str,
}


def apply_faults(sandbox: Sandbox, body: Mapping[str, Any]) -> None:
    """Raises ValueError, saying what is wrong; what came before it is applied."""
    knobs: Mapping[str, object] = {
        "eventsub": sandbox.eventsub.knobs,
        "cloudflare_knobs": sandbox.cloudflare.knobs,
        "twitch_knobs": sandbox.twitch.knobs,
    }
    for part, given in body.items():
        if not isinstance(given, dict):
            raise ValueError(f"{part} must be an object")
        if part in sandbox.faults:
            faults = sandbox.faults[part]
            values = dict(given)
            calls = values.pop("calls", [])
            _set(part, faults.chances, values)
            for call in calls:
                faults.on_call(**_call(call))
        elif part in knobs:
            _set(part, knobs[part], given)
        else:
            raise ValueError(f"no such part: {part}; there are {[*sandbox.faults, *knobs]}")
    sandbox.eventsub.cut_every(sandbox.eventsub.knobs.cut_every)


def _set(part: str, target: Any, values: Mapping[str, Any]) -> None:
    allowed = {"status_shape": SHAPES, "refresh": REFRESHES}
    for name, value in values.items():
        if name not in attrs.asdict(target):
            raise ValueError(f"{part} has no {name}; it has {', '.join(attrs.asdict(target))}")
        present = getattr(target, name)
        if isinstance(present, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(present):
            raise ValueError(f"{part}.{name} must be a {type(present).__name__}")
        if name in allowed and value not in allowed[name]:
            raise ValueError(f"{part}.{name} must be one of {', '.join(allowed[name])}")
        setattr(target, name, value)


def _call(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or "action" not in given:
        raise ValueError("a call fault is an object with an action")
    call = {k: v for k, v in given.items() if k != "headers"}
    for name, value in call.items():
        kind = _CALL_FIELDS.get(name)
        if kind is None or not isinstance(value, kind):  # type: ignore[arg-type]
            raise ValueError(f"a call fault's {name} is unknown or of the wrong type")
    headers = given.get("headers", {})
    if not isinstance(headers, dict):
        raise ValueError("headers must be an object")
    return {**call, "headers": tuple((str(k), str(v)) for k, v in headers.items())}
