"""A quick sandbox on free ports, and callers that speak to it as real clients do."""

from collections.abc import AsyncIterator

import httpx
import pytest

from streampai.sandbox import Sandbox, SandboxOptions, open_sandbox

from .callers import CloudflareCaller, TwitchCaller

QUICK = SandboxOptions(
    status_lag=0.0,
    srt_lag=0.0,
    output_delay=0.0,
    delete_lag=0.0,
    recording_delay=0.0,
    offline_delay=0.0,
    unused_timeout=600.0,
)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox(base_port=0, seed=7, options=QUICK) as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=5) as client:
        yield client


@pytest.fixture
async def cloudflare(sandbox: Sandbox, http: httpx.AsyncClient) -> CloudflareCaller:
    return CloudflareCaller(sandbox, http)


@pytest.fixture
async def twitch(sandbox: Sandbox, http: httpx.AsyncClient) -> TwitchCaller:
    caller = TwitchCaller(sandbox, http)
    await caller.log_in("demo")
    return caller
