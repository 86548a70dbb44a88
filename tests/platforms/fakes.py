"""Small stand-ins that the tests of the platforms share."""

from datetime import UTC, datetime, timedelta

import attrs
import trio

from streampai.errors import ReloginNeeded
from streampai.settings import Secret
from streampai.telemetry import Telemetry
from streampai.telemetry.events import TelemetryEvent

EPOCH = datetime(2026, 4, 2, 18, 0, 0, tzinfo=UTC)


def trio_now() -> datetime:
    """A wall clock that goes with Trio's, so that a test's fake time moves both."""
    return EPOCH + timedelta(seconds=trio.current_time())


@attrs.define
class FakeTokens:
    """AccessTokens whose renewals are scripted: a new token, or ReloginNeeded when none is left."""

    current: str = "access-0"
    renewals: list[str] = attrs.field(factory=list)
    renewed: int = 0
    refused: list[str] = attrs.field(factory=list)

    async def access(self) -> Secret:
        await trio.lowlevel.checkpoint()
        return Secret(self.current)

    async def renew(self, rejected: Secret) -> Secret:
        await trio.lowlevel.checkpoint()
        if rejected.reveal() == self.current:
            self.renewed += 1
            if not self.renewals:
                raise ReloginNeeded("the log-in is over")
            self.current = self.renewals.pop(0)
        return Secret(self.current)

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)


def spy_on(telemetry: Telemetry) -> list[TelemetryEvent]:
    """Everything that is emitted from now on."""
    seen: list[TelemetryEvent] = []
    telemetry.attach(seen.append)
    return seen
