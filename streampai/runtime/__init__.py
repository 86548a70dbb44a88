"""Supervised tasks for Trio in Erlang/OTP's manner: supervisors, servers, names, topics.

A supervisor in ten lines:

    async def clock(*, task_status=trio.TASK_STATUS_IGNORED):
        task_status.started()                 # from here on others may rely on it
        while True:
            await trio.sleep(1)
            print("tick")

    async with trio.open_nursery() as nursery:
        spec = ChildSpec(id="clock", start=clock, restart=Restart.TRANSIENT, shutdown=2.0)
        supervisor = Supervisor([spec], name="app", max_restarts=3, max_seconds=5.0)
        await nursery.start(supervisor.run)

**Starting.** Children start one after the other, each when the one before has
called ``started()``. A child that ends before that has failed to start.

**Ending.** A child that returns has ended normally; one that raises Shutdown
says so in an orderly manner; anything else is a crash, also an exception group
with a single such leaf in it, and also a trio.Cancelled that its supervisor has
not sent. KeyboardInterrupt and SystemExit stop the whole tree and leave it.

**Restarting.** PERMANENT children are always started again, TRANSIENT ones
after a crash, TEMPORARY ones never. The first restart after a quiet time comes
at once, later ones after a growing, jittered wait. More than ``max_restarts``
within ``max_seconds`` and the supervisor stops its children and raises
SupervisorFailed, which its own supervisor then deals with; a child with
``restart_later`` instead comes back after that time. With ONE_FOR_ALL and
REST_FOR_ONE a child's crash also stops its siblings, or those started after
it, and starts them again, unless they had been stopped on request.

**Stopping.** Cancel ``run()``. Children are asked to stop (cancelled) in
reverse start order, each when the one before has ended; those of a
DynamicSupervisor all at once. Outer cancellations reach a child only through
its supervisor, so each has its whole grace. Who overruns it is abandoned and
reported; see ``room`` for where its task then lives, and for the root.

**Changing.** ``change()`` and ``change_child()`` replace limits, flags and specs
while it runs, wholly or not at all.

**Asking.** ``which_children()``, ``count_children()``, ``child()``,
``child_spec()`` and ``statistics()`` are plain calls that answer at any time.
A ``Child`` is one generation: a stale one never addresses a successor.
``tree()`` tells of a supervisor and all beneath it, as data: states, ages,
restarts, budgets and how much of them is spent, mailboxes.

The other modules have their own synopses: ``server``, ``registry``,
``duplicate_registry``, ``pubsub``, ``mailbox``, ``backoff``, ``breaker``, ``token_bucket``,
``websocket``, ``garbage``. What all this owes to OTP, and which test shows it,
is in CONFORMANCE.rst beside this file.
"""

from .backoff import Backoff
from .breaker import BreakerState, CircuitBreaker
from .child import Child, Outcome, current_child, supervised_child
from .child_spec import IGNORE, AutoShutdown, ChildSpec, ChildType, Restart, Strategy
from .clock import utc_now
from .duplicate_registry import DuplicateRegistry
from .dynamic_supervisor import DynamicSupervisor
from .errors import (
    AlreadyPresent,
    AlreadyRegistered,
    AlreadyStarted,
    CallsItself,
    CallTimeout,
    ChildError,
    InvalidSpec,
    MailboxClosed,
    MailboxFull,
    MaxChildren,
    NotFound,
    NotOwner,
    NotRunning,
    Restarting,
    Running,
    Shutdown,
    StartFailed,
    SupervisorFailed,
)
from .garbage import collect_garbage_forever, tame_garbage_collector
from .mailbox import Mailbox
from .pubsub import Dropped, Inbox, Position, Publication, PubSub, Subscription
from .registry import Registry, RegistryChange
from .report import ChildCounts, ChildInfo, SupervisorReport, SupervisorStatistics, silenced
from .room import open_room
from .server import Envelope, Server
from .supervision_tree import Budget, ChildNode, SupervisorNode
from .supervisor import Supervisor
from .token_bucket import TokenBucket
from .websocket import WebSocketClient, WebSocketClosed, WebSocketFailed, open_websocket

__all__ = [
    "IGNORE",
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BreakerState",
    "Budget",
    "CallTimeout",
    "CallsItself",
    "Child",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildNode",
    "ChildSpec",
    "ChildType",
    "CircuitBreaker",
    "Dropped",
    "DuplicateRegistry",
    "DynamicSupervisor",
    "Envelope",
    "Inbox",
    "InvalidSpec",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MaxChildren",
    "NotFound",
    "NotOwner",
    "NotRunning",
    "Outcome",
    "Position",
    "PubSub",
    "Publication",
    "Registry",
    "RegistryChange",
    "Restart",
    "Restarting",
    "Running",
    "Server",
    "Shutdown",
    "StartFailed",
    "Strategy",
    "Subscription",
    "Supervisor",
    "SupervisorFailed",
    "SupervisorNode",
    "SupervisorReport",
    "SupervisorStatistics",
    "TokenBucket",
    "WebSocketClient",
    "WebSocketClosed",
    "WebSocketFailed",
    "collect_garbage_forever",
    "current_child",
    "open_room",
    "open_websocket",
    "supervised_child",
    "silenced",
    "tame_garbage_collector",
    "utc_now",
]
