from collections.abc import AsyncIterator

import attrs
import pytest

from streampai.cloudflare import CloudflareClient
from streampai.settings import Secret, load_settings
from streampai.telemetry import Telemetry
from streampai.telemetry.events import TelemetryEvent

from .fake_cloudflare import ACCOUNT, TOKEN, FakeCloudflare, fake_now

SETTINGS = load_settings(
    {
        "STREAMPAI_CLOUDFLARE_URL": "http://cloudflare.test/client/v4",
        "STREAMPAI_CLOUDFLARE_ACCOUNT": ACCOUNT,
        "STREAMPAI_CLOUDFLARE_TOKEN": TOKEN,
        "STREAMPAI_INSTANCE": "here",
    }
).cloudflare


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def heard(telemetry: Telemetry) -> list[TelemetryEvent]:
    """Every telemetry event of the test, in order."""
    events: list[TelemetryEvent] = []
    telemetry.attach(events.append)
    return events


@pytest.fixture
def fake() -> FakeCloudflare:
    return FakeCloudflare()


@pytest.fixture
async def client(fake: FakeCloudflare, telemetry: Telemetry) -> AsyncIterator[CloudflareClient]:
    async with fake.http() as http:
        yield CloudflareClient(http, SETTINGS, timeout=10.0, telemetry=telemetry, now=fake_now)


@pytest.fixture
async def generous_client(
    fake: FakeCloudflare, telemetry: Telemetry
) -> AsyncIterator[CloudflareClient]:
    """With a budget that never bites."""
    settings = attrs.evolve(SETTINGS, requests_per_window=1_000_000, token=Secret(TOKEN))
    async with fake.http() as http:
        yield CloudflareClient(http, settings, timeout=10.0, telemetry=telemetry, now=fake_now)
