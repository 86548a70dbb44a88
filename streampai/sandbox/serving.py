"""Opening a sandbox: three ports and one clockwork.

open_sandbox
├── agenda        lags, lifetimes and graces
├── scenarios     stories being told
├── control       base      people, scripts, the page
├── cloudflare    base + 1  Stream's API
└── twitch        base + 2  OAuth, Helix, EventSub
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import trio

from . import cloudflare, cloudflare_envelope, helix, twitch_oauth, twitch_pages
from .cloudflare import CloudflareService
from .control import ControlService
from .front import Front, Service
from .options import SandboxOptions
from .sandbox import Sandbox, build_sandbox
from .server import bind, serve_front
from .twitch import TwitchService
from .twitch_ingest import TwitchIngest

DEFAULT_PORT = 8090


@asynccontextmanager
async def open_sandbox(
    *,
    host: str = "127.0.0.1",
    base_port: int = DEFAULT_PORT,
    seed: int | None = None,
    options: SandboxOptions | None = None,
) -> AsyncIterator[Sandbox]:
    """A sandbox that is reachable inside the block, and gone with all its sockets after it.

    ``base_port`` 0 takes three free ports. Raises OSError when a port is taken.
    The block's own errors come out in an ExceptionGroup, as from any nursery.
    """
    sandbox = build_sandbox(options or SandboxOptions(), seed)
    with ExitStack() as bound:
        control, stream, twitch = (
            bound.enter_context(bind(host, base_port + i if base_port else 0)) for i in range(3)
        )
        fronts = _fronts(sandbox, host, control, stream, twitch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sandbox.agenda.run, name="sandbox/agenda")
            await nursery.start(sandbox.scenarios.run, name="sandbox/scenarios")
            for (name, front), sock in zip(fronts.items(), (control, stream, twitch), strict=True):
                await nursery.start(serve_front, front, sock, name=f"sandbox/{name}")
            try:
                yield sandbox
            finally:
                nursery.cancel_scope.cancel()


def _fronts(sandbox: Sandbox, host: str, *socks: socket.socket) -> dict[str, Front]:
    """The three applications behind their doors; writes the URLs they are reached by."""
    control, stream, twitch = (sock.getsockname()[1] for sock in socks)
    name = f"[{host}]" if ":" in host else host
    sandbox.urls.update(
        control=f"http://{name}:{control}",
        cloudflare=f"http://{name}:{stream}{cloudflare.BASE}",
        cloudflare_customer=f"http://{name}:{stream}",
        twitch=f"http://{name}:{twitch}",
        twitch_api=f"http://{name}:{twitch}{helix.BASE}",
        twitch_auth=f"http://{name}:{twitch}{twitch_oauth.BASE}",
        twitch_eventsub=f"ws://{name}:{twitch}/ws",
        twitch_ingest=f"rtmp://{name}:{twitch}/app",
    )
    sandbox.cloudflare.ingests.append(TwitchIngest(sandbox.twitch, sandbox.urls["twitch_ingest"]))
    agenda, options = sandbox.agenda, sandbox.options
    service = TwitchService(
        agenda, sandbox.twitch, sandbox.eventsub, sandbox.acts, options, sandbox.urls["twitch"]
    )
    door = partial(Front, activity=sandbox.activity)
    faults, calls = sandbox.faults, sandbox.calls
    return {
        "control": door(ControlService(sandbox).app(), book=calls["control"]),
        "cloudflare": door(
            CloudflareService(sandbox.cloudflare, sandbox.limit, options).app(),
            book=calls["cloudflare"],
            clock_skew=lambda: sandbox.cloudflare.knobs.clock_skew,
            services=[
                Service(
                    prefix=cloudflare.BASE,
                    faults=faults["cloudflare"],
                    error_body=cloudflare_envelope.error_body,
                )
            ],
        ),
        "twitch": door(
            service.app(),
            book=calls["twitch"],
            services=[
                Service(prefix=helix.BASE, faults=faults["helix"], error_body=helix.error_body),
                Service(
                    prefix=twitch_oauth.BASE,
                    faults=faults["oauth"],
                    error_body=twitch_pages.error_body,
                ),
            ],
        ),
    }


async def run_sandbox(
    *,
    host: str = "127.0.0.1",
    base_port: int = DEFAULT_PORT,
    seed: int | None = None,
    options: SandboxOptions | None = None,
    exit_when_idle: float | None = None,
    task_status: trio.TaskStatus[Sandbox] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``POST /shutdown``, or until nobody has asked for ``exit_when_idle`` seconds.

    ``started()`` gives the sandbox. Raises OSError when a port is taken.
    """
    async with open_sandbox(host=host, base_port=base_port, seed=seed, options=options) as sandbox:
        task_status.started(sandbox)
        if exit_when_idle is None:
            await sandbox.shutdown.wait()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                _cancel_after,
                sandbox.shutdown.wait,
                nursery.cancel_scope,
                name="sandbox/shutdown",
            )
            await sandbox.activity.idle_for(exit_when_idle)
            nursery.cancel_scope.cancel()


async def _cancel_after(wait: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
