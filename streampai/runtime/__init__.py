"""Supervised tasks for Trio in Erlang/OTP's manner."""

from .backoff import Backoff
from .breaker import BreakerState, CircuitBreaker
from .child import Child, Outcome, current_child
from .child_spec import IGNORE, AutoShutdown, ChildSpec, ChildType, Restart, Strategy
from .clock import utc_now
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
from .report import ChildCounts, ChildInfo, SupervisorReport, SupervisorStatistics
from .room import open_room
from .server import Envelope, Server
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
    "CallTimeout",
    "CallsItself",
    "Child",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildSpec",
    "ChildType",
    "CircuitBreaker",
    "Dropped",
    "DynamicSupervisor",
    "Envelope",
    "Inbox",
    "InvalidSpec",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MaxChildren",
    "NotFound",
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
    "tame_garbage_collector",
    "utc_now",
]
