"""``streampai sandbox``: the simulated platforms, as a process of their own."""

import argparse
import logging
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial

import trio

from ..sandbox import run_sandbox


async def _end_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _serve(host: str, base_port: int, exit_when_idle: float | None) -> None:
    """Until SIGTERM, SIGINT, or whatever else ends a sandbox."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as watch:
            watch.start_soon(_end_on_signal, signals, watch.cancel_scope, name="signals")
            async with trio.open_nursery() as nursery:
                serve = partial(
                    run_sandbox, host=host, base_port=base_port, exit_when_idle=exit_when_idle
                )
                sandbox = await nursery.start(serve, name="sandbox")
                print(f"The sandbox's controls are at {sandbox.urls['control']}/", flush=True)
            watch.cancel_scope.cancel()


def sandbox(args: argparse.Namespace) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    trio.run(_serve, args.host, args.base_port, args.exit_when_idle)
    return 0
