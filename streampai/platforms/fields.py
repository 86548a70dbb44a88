"""A tolerant view of a JSON object that a platform sent.

Unknown keys are ignored and what is optional may be absent or null; what is
needed and not there, or of another kind, raises BadRequest that names the
place and quotes nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from ..errors import BadRequest

T = TypeVar("T")


class Fields:
    """The object at ``place`` (such as ``channel.follow.event``)."""

    def __init__(self, place: str, value: object) -> None:
        if not isinstance(value, Mapping):
            raise BadRequest(f"{place} is not an object")
        self.place = place
        self._values: Mapping[str, Any] = value

    def text(self, name: str, default: str | None = None) -> str:
        """Also takes a whole number, as an id may be one. Needed when there is no default."""
        value = self._values.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self._or(default, name, value, "a text")

    def number(self, name: str, default: int | None = None) -> int:
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self._or(default, name, value, "a whole number")

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self._values.get(name)
        if isinstance(value, bool):
            return value
        return self._or(default, name, value, "true or false")

    def time(self, name: str, default: datetime | None = None) -> datetime:
        moment = self.optional_time(name)
        return self._or(default, name, None, "a time") if moment is None else moment

    def optional_time(self, name: str) -> datetime | None:
        """An RFC 3339 time of any precision; None when absent, null or empty."""
        text = self.text(name, "")
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as exc:
            raise BadRequest(f"{self.place}.{name} is not a time") from exc
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def child(self, name: str) -> "Fields":
        return Fields(f"{self.place}.{name}", self._values.get(name))

    def optional_child(self, name: str) -> "Fields | None":
        return None if self._values.get(name) is None else self.child(name)

    def children(self, name: str) -> "Iterator[Fields]":
        """The objects of a list; an absent or null one is empty."""
        values = self._values.get(name)
        if values is None:
            return
        if not isinstance(values, list):
            raise BadRequest(f"{self.place}.{name} is not a list")
        for position, value in enumerate(values):
            yield Fields(f"{self.place}.{name}[{position}]", value)

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a list; an absent or null one is empty, other kinds are left out."""
        values = self._values.get(name)
        if not isinstance(values, list):
            return ()
        return tuple(value for value in values if isinstance(value, str))

    def _or(self, default: T | None, name: str, value: object, wanted: str) -> T:
        if value is None and default is not None:
            return default
        problem = "is missing" if value is None else f"is not {wanted}"
        raise BadRequest(f"{self.place}.{name} {problem}")


def read_object(place: str, data: str | bytes) -> Fields:
    """The JSON object in ``data``. Raises BadRequest."""
    try:
        return Fields(place, orjson.loads(data))
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f"{place} is not JSON") from exc
