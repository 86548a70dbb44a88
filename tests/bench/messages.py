"""T4: what a cast and a call cost against a memory channel, without and with an Event."""

from statistics import median
from time import process_time

import trio

from streampai.runtime import Registry, Server

from .figures import Figure, apart

CASTS, CALLS, TIMES = 20_000, 5_000, 5
CAPACITY = 1024


class Echo(Server):
    async def handle(self, message):
        return message


async def _hops(sender):
    for n in range(CASTS):
        await sender.send(n)


async def _bare_casts():
    sender, receiver = trio.open_memory_channel(CAPACITY)

    async def receive():
        async for _message in receiver:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        async with sender:
            await _hops(sender)


async def _casts():
    async with trio.open_nursery() as nursery:
        server = Echo(key=("echo",), registry=Registry(), capacity=CAPACITY)
        await nursery.start(server.run)
        for n in range(CASTS):
            await server.cast(n)
        # All that were sent have been handled by then.
        await server.call(None)
        nursery.cancel_scope.cancel()


async def _bare_calls():
    sender, receiver = trio.open_memory_channel(CAPACITY)

    async def answer():
        async for message, box in receiver:
            box[0] = message
            box[1].set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        for n in range(CALLS):
            box = [None, trio.Event()]
            await sender.send((n, box))
            await box[1].wait()
        nursery.cancel_scope.cancel()


async def _calls(timeout):
    async with trio.open_nursery() as nursery:
        server = Echo(key=("echo",), registry=Registry(), capacity=CAPACITY)
        await nursery.start(server.run)
        for n in range(CALLS):
            await server.call(n, timeout=timeout)
        nursery.cancel_scope.cancel()


def _each(number, run, *arguments):
    """Microseconds for each."""
    seconds = []
    for _ in range(TIMES):
        begun = process_time()
        trio.run(run, *arguments)
        seconds.append(process_time() - begun)
    return median(seconds) / number * 1e6


def measure():
    yield Figure(
        target="T4",
        what="cast, against send and receive",
        unit="us",
        ours=apart(_each, CASTS, _casts),
        against=apart(_each, CASTS, _bare_casts),
        limit=1.4,
    )
    bare = apart(_each, CALLS, _bare_calls)
    for timeout, what in ((None, "call without a timeout"), (5.0, "call")):
        yield Figure(
            target="T4",
            what=f"{what}, against channel and Event",
            unit="us",
            ours=apart(_each, CALLS, _calls, timeout),
            against=bare,
            limit=1.5,
        )
