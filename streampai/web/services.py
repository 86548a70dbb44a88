"""What the web part is given by the application that it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..platforms.platform import Platform
from ..runtime import PubSub
from ..settings import Settings
from ..telemetry import Telemetry
from ..telemetry.task_node import TaskNode

if TYPE_CHECKING:
    from ..livestream import LivestreamManager
    from ..storage import Storage

STATIC = Path(__file__).parent / "static"


@attrs.frozen(kw_only=True)
class WebServices:
    """``health`` answers a dictionary with ``status`` (healthy, degraded, down), ``tree`` the
    task tree, ``metrics`` the exposition that Prometheus reads."""

    settings: Settings
    storage: "Storage"
    manager: "LivestreamManager"
    pubsub: PubSub
    platforms: Mapping[str, Platform]
    telemetry: Telemetry
    health: Callable[[], Mapping[str, Any]]
    tree: Callable[[], Sequence[TaskNode]]
    metrics: Callable[[], bytes]
    now: Callable[[], datetime]
    static: Path = STATIC
