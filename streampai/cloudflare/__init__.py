"""Cloudflare Stream Live: the ingest and the outputs of each user's stream."""

from .client import CloudflareClient
from .input_monitor import Attention, CloudflareInputMonitor
from .intents import Intent, IntentLog
from .limiter import Lane, PollPlan, RequestBudget
from .models import InputState, InputStatus, ListedInput, LiveInput, Output, StatusClass, StatusItem
from .output_manager import CloudflareOutputManager
from .provisioner import InputStore
from .status import classify

__all__ = [
    "Attention",
    "CloudflareClient",
    "CloudflareInputMonitor",
    "CloudflareOutputManager",
    "InputState",
    "InputStatus",
    "InputStore",
    "Intent",
    "IntentLog",
    "Lane",
    "ListedInput",
    "LiveInput",
    "Output",
    "PollPlan",
    "RequestBudget",
    "StatusClass",
    "StatusItem",
    "classify",
]
