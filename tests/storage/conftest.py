"""The store in a directory of its own. Real clock: threads work, and a virtual one would run away."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from streampai.settings import Secret, StorageSettings
from streampai.storage import Argon2Parameters, Storage, User, open_storage
from streampai.telemetry import Telemetry
from streampai.telemetry.events import TelemetryEvent

QUICK = Argon2Parameters(time_cost=1, memory=8)

OpenStore = Callable[..., AbstractAsyncContextManager[Storage]]


@attrs.define
class Clock:
    """Time that stands until it is moved."""

    time: datetime = datetime(2026, 11, 22, 20, 15, 30, 123000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **amount: float) -> None:
        self.time += timedelta(**amount)


class Spy:
    """Remembers what was emitted."""

    def __init__(self) -> None:
        self.events: list[TelemetryEvent] = []
        self.telemetry = Telemetry()
        self.telemetry.attach(self.events.append)

    def of(self, *classes: type[TelemetryEvent]) -> list[TelemetryEvent]:
        return [event for event in self.events if isinstance(event, classes)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spy() -> Spy:
    return Spy()


@pytest.fixture
def open_store(tmp_path: Path, clock: Clock, spy: Spy) -> OpenStore:
    def open_it(key: str = "", *, argon2: Argon2Parameters = QUICK) -> object:
        return open_storage(
            StorageSettings(data=tmp_path / "data", key=Secret(key)),
            telemetry=spy.telemetry,
            now=clock,
            argon2=argon2,
        )

    return open_it


@pytest.fixture
async def storage(open_store: OpenStore) -> AsyncIterator[Storage]:
    async with open_store() as opened:
        yield opened


@pytest.fixture
async def user(storage: Storage) -> User:
    return await storage.users.add("demo", "correct horse")
