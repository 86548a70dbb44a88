"""What a story may be told to be like: checked numbers out of JSON."""

from collections.abc import Mapping
from typing import Any

Parameters = Mapping[str, Any]


class ScenarioError(ValueError):
    """The story cannot be played; says why."""


def count_of(given: Parameters, name: str, default: int, most: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ScenarioError(f"{name} must be a whole number up to {most:,}")
    return value


def seconds_of(given: Parameters, name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ScenarioError(f"{name} must be a number from 0")
    return float(value)


def tier_of(given: Parameters) -> str:
    tier = str(given.get("tier", "1000"))
    if tier not in ("1000", "2000", "3000"):
        raise ScenarioError("tier must be 1000, 2000 or 3000")
    return tier
