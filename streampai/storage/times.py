"""Times at rest: whole milliseconds since 1970 in UTC; aware datetimes everywhere else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import overload

Now = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@overload
def to_milliseconds(moment: datetime) -> int: ...
@overload
def to_milliseconds(moment: None) -> None: ...
def to_milliseconds(moment: datetime | None) -> int | None:
    """Rounded down. Raises TypeError for a datetime without a zone: it is no moment."""
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


@overload
def from_milliseconds(value: int) -> datetime: ...
@overload
def from_milliseconds(value: None) -> None: ...
def from_milliseconds(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + value * _MILLISECOND
