"""Wall-clock time. Durations never come from here but from ``trio.current_time()``."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, with its time zone (UTC)."""
    return datetime.now(UTC)
