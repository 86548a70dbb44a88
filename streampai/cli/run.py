"""``streampai run``: the daemon, from its settings to its orderly end.

signals              SIGTERM or SIGINT: stop in order; a second one: leave at once
sandbox_caller       only with --sandbox
loop_ticker          shows a thread that the loop turns; see telemetry/stall_watch.py
(the application)    the tree that streampai.app draws
systemd_notifier     READY, STATUS, WATCHDOG; measures the loop's lag
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import trio

from ..errors import StorageUnavailable
from ..runtime import open_room
from ..settings import load_settings
from ..telemetry import Telemetry
from ..telemetry.log import LogListener, configure_logging
from ..telemetry.stall_watch import open_stall_watch
from ..telemetry.systemd import Notifier, feed_watchdog
from .greeting import greeting
from .options import environment, sandbox_environment
from .sandbox_process import control_url, open_sandbox_process

if TYPE_CHECKING:
    from ..app import Application

# Enters when everything is up, leaves within settings.web.shutdown_grace.
Opening = Callable[[Telemetry], "AbstractAsyncContextManager[Application]"]


async def _obey_signals(
    signals: AsyncIterator[int],
    *,
    stop: trio.Event,
    serving: trio.Event,
    scope: trio.CancelScope,
    notifier: Notifier,
) -> None:
    async for _ in signals:
        notifier.stopping()
        if stop.is_set() or not serving.is_set():
            # The second one, or there is nothing yet that deserves an orderly end.
            scope.cancel()
        stop.set()


async def _attend(
    app: "Application", notifier: Notifier, telemetry: Telemetry, stop: trio.Event
) -> None:
    """Say READY, and feed systemd until ``stop``."""

    async def heartbeat() -> None:
        try:
            await app.storage.ping()
        except StorageUnavailable:
            # Health and the log tell of it; a restart would not mend a full disk.
            return

    def status() -> str:
        return f"{app.urls[0]}, {app.manager.status()['users']} users"

    async with trio.open_nursery() as nursery:
        feed = partial(feed_watchdog, notifier, telemetry, heartbeat=heartbeat, status=status)
        nursery.start_soon(feed, name="systemd_notifier")
        notifier.ready()
        await stop.wait()
        nursery.cancel_scope.cancel()


def _leave_zombies(room: trio.Nursery) -> None:
    """Everything has stopped in order, but for tasks that refuse to: no longer wait for those."""
    if room.child_tasks:
        stubborn = ", ".join(task.name for task in room.child_tasks)
        logging.getLogger("streampai").error("left without its end: %s", stubborn)
        logging.shutdown()
        os._exit(1)


async def run_daemon(
    opening: Opening,
    *,
    beside: AbstractAsyncContextManager[None],
    when_serving: Callable[["Application"], Awaitable[None]],
    notifier: Notifier,
) -> None:
    """Run what ``opening`` opens until a signal ends it; ``beside`` is entered before and left after.

    The first SIGTERM or SIGINT leaves both in order, a second one cancels what is left of
    that; a signal while still opening cancels at once. Errors of either block are raised.
    """
    telemetry = Telemetry()
    LogListener(telemetry)
    stop, serving = trio.Event(), trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                obey = partial(
                    _obey_signals, stop=stop, serving=serving, scope=scope, notifier=notifier
                )
                nursery.start_soon(obey, signals, name="signals")
                async with open_room() as room:
                    async with beside, opening(telemetry) as app:
                        await when_serving(app)
                        serving.set()
                        await _attend(app, notifier, telemetry, stop)
                    _leave_zombies(room)
            nursery.cancel_scope.cancel()


def run(args: argparse.Namespace) -> int:
    environ = environment(
        os.environ, STREAMPAI_HOST=args.host, STREAMPAI_PORT=args.port, STREAMPAI_DATA=args.data
    )
    if args.sandbox:
        environ = sandbox_environment(environ, args.base_port)
    settings = load_settings(
        environ,
        simulated=args.sandbox,
        sandbox_url=f"{control_url(args.base_port)}/" if args.sandbox else "",
    )
    configure_logging(settings.telemetry, sys.stderr)

    def opening(telemetry: Telemetry) -> "AbstractAsyncContextManager[Application]":
        # Imported here, while a sandbox that has just been started is importing the same.
        from ..app import open_application

        return open_application(settings, telemetry=telemetry)

    async def when_serving(app: "Application") -> None:
        from ..runtime import tame_garbage_collector

        base_port = args.base_port if args.sandbox else None
        print(await greeting(app, settings, base_port=base_port), flush=True)
        tame_garbage_collector()

    beside: AbstractAsyncContextManager[None] = nullcontext()
    if args.sandbox:
        beside = open_sandbox_process(args.base_port, data=settings.storage.data)
    notifier = Notifier()

    async def daemon() -> None:
        trio.lowlevel.current_task().name = "main"
        async with open_stall_watch(settings.telemetry.loop_stall):
            await run_daemon(opening, beside=beside, when_serving=when_serving, notifier=notifier)

    try:
        trio.run(daemon)
    finally:
        notifier.close()
    return 0
