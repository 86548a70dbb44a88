"""One user's tree twice: of bare Trio, and supervised. Nine tasks that do and wait for the same.

user/42
├── state              waits for messages
├── output             waits for messages
├── input              waits for messages and for its next poll
└── platforms
    └── 4 monitors     each waits for messages and for its next poll

The bare one is what one writes by hand in Trio: a loop around each of the seven
that begins it anew after a crash. It starts everybody at once and waits for
nobody. The supervised one starts in order, each when the one before has
registered and said that it is up, and stops in reverse.
"""

import math
from contextlib import asynccontextmanager
from functools import partial

import trio

from streampai.runtime import (
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Mailbox,
    Registry,
    Server,
    Supervisor,
)

SERVERS = ("state", "output")
POLLERS = ("input",)
MONITORS = ("twitch", "youtube", "facebook", "kick")
TASKS = 2 + len(SERVERS) + len(POLLERS) + len(MONITORS)
NAMES = len(SERVERS) + len(POLLERS) + len(MONITORS)

CAPACITY = 64
POLL_INTERVAL = 15.0
# Timers of many users are rounded up, so that they wake in batches.
TIMER_SLOT = 0.25
# Trees that are begun before others get a turn.
SLICE = 100


class Crash(Exception):
    """What a poller dies of when it is told to."""


def next_poll() -> float:
    return math.ceil((trio.current_time() + POLL_INTERVAL) / TIMER_SLOT) * TIMER_SLOT


class BareTrees:
    """Nurseries and memory channels; a dictionary for names."""

    def __init__(self) -> None:
        self.names = {}

    @asynccontextmanager
    async def running(self):
        async with trio.open_nursery() as self._nursery:
            yield self
            self._nursery.cancel_scope.cancel()

    async def start(self, number):
        for n in range(number):
            self._nursery.start_soon(self._user, n)
            if n % SLICE == SLICE - 1:
                await trio.lowlevel.checkpoint()
        while len(self.names) < number * NAMES:
            await trio.lowlevel.checkpoint()

    async def _user(self, n):
        async with trio.open_nursery() as nursery:
            for name in SERVERS:
                nursery.start_soon(self._keep, self._server, (name, n))
            for name in POLLERS:
                nursery.start_soon(self._keep, self._poller, (name, n))
            nursery.start_soon(self._platforms, n)

    async def _platforms(self, n):
        async with trio.open_nursery() as nursery:
            for name in MONITORS:
                nursery.start_soon(self._keep, self._poller, (name, n))

    async def _keep(self, run, key):
        while True:
            try:
                await run(key)
            except Exception:  # noqa: BLE001 - it is begun anew after any
                continue

    async def _server(self, key):
        sender, receiver = trio.open_memory_channel(CAPACITY)
        self.names[key] = sender
        try:
            async for _message in receiver:
                pass
        finally:
            del self.names[key]

    async def _poller(self, key):
        sender, receiver = trio.open_memory_channel(CAPACITY)
        self.names[key] = sender
        try:
            while True:
                with trio.move_on_at(next_poll()):
                    while True:
                        await receiver.receive()
        finally:
            del self.names[key]


class Idle(Server):
    async def handle(self, message):
        return None


class SupervisedTrees:
    """The same under supervisors, with servers, mailboxes and the registry."""

    def __init__(self) -> None:
        self.names = Registry()
        self.users = DynamicSupervisor(name="users")

    @asynccontextmanager
    async def running(self):
        async with trio.open_nursery() as nursery:
            await nursery.start(self.users.run)
            yield self
            nursery.cancel_scope.cancel()

    async def start(self, number):
        # As many at the same time as the bare ones begin between two turns.
        async with trio.open_nursery() as nursery:
            for first in range(SLICE):
                nursery.start_soon(self._start_some, range(first, number, SLICE))

    async def _start_some(self, users):
        for n in users:
            await self.users.start_child(self._user_spec(n))

    def _user_spec(self, n):
        user = partial(self._user, n)
        return ChildSpec(id=n, start=user, name=f"user/{n}", type=ChildType.SUPERVISOR)

    async def _user(self, n, *, task_status):
        children = [
            *(_worker(name, n, self._server) for name in SERVERS),
            *(_worker(name, n, self._poller) for name in POLLERS),
            ChildSpec(
                id="platforms",
                start=partial(self._platforms, n),
                name=f"platforms/{n}",
                type=ChildType.SUPERVISOR,
            ),
        ]
        await Supervisor(children, name=f"user/{n}").run(task_status=task_status)

    async def _platforms(self, n, *, task_status):
        monitors = [_worker(name, n, self._poller) for name in MONITORS]
        await Supervisor(monitors, name=f"platforms/{n}").run(task_status=task_status)

    async def _server(self, key, *, task_status):
        await Idle(key=key, registry=self.names, capacity=CAPACITY).run(task_status=task_status)

    async def _poller(self, key, *, task_status):
        mailbox = Mailbox(CAPACITY)
        with self.names.registered(key, mailbox):
            task_status.started(mailbox)
            while True:
                with trio.move_on_at(next_poll()):
                    while True:
                        for message in await mailbox.take():
                            if message is Crash:
                                raise Crash


def _worker(name, n, run):
    return ChildSpec(id=name, start=partial(run, (name, n)), name=f"{name}/{n}")
