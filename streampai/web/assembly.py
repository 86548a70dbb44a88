"""Puts the web part together."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..platforms.platform import Platform
from ..runtime import PubSub
from ..settings import Settings
from ..telemetry import Telemetry
from ..telemetry.task_node import TaskNode
from .app import WebApp
from .browsers import Browsers
from .connections import Connections
from .login import Login
from .openapi import Documentation
from .routes_history import HistoryRoutes
from .routes_operations import OperationRoutes
from .routes_pages import PageRoutes
from .routes_session import SessionRoutes
from .routes_stream import StreamRoutes
from .server import WebServer
from .server_api import ServerApi
from .services import STATIC, WebServices

if TYPE_CHECKING:
    from ..livestream import LivestreamManager
    from ..storage import Storage


def open_web(
    settings: Settings,
    *,
    storage: "Storage",
    manager: "LivestreamManager",
    pubsub: PubSub,
    platforms: Mapping[str, Platform],
    telemetry: Telemetry,
    health: Callable[[], Mapping[str, Any]],
    tree: Callable[[], Sequence[TaskNode]],
    metrics: Callable[[], bytes],
    now: Callable[[], datetime],
    static: Path = STATIC,
    direct: bool = True,
) -> WebServer:
    """A server that does nothing yet: ``await nursery.start(server.run)``.

    ``health`` answers a dictionary whose ``status`` is healthy, degraded or
    down. ``direct`` False gives up writing WebSocket frames past the ASGI server.
    """
    services = WebServices(
        settings=settings,
        storage=storage,
        manager=manager,
        pubsub=pubsub,
        platforms=platforms,
        telemetry=telemetry,
        health=health,
        tree=tree,
        metrics=metrics,
        now=now,
        static=static,
    )
    login = Login(settings.web, storage)
    browsers = Browsers(per_user=settings.web.max_clients_per_user)
    documentation = Documentation(
        (
            *PageRoutes(services).routes(),
            *SessionRoutes(services, login, browsers).routes(),
            *StreamRoutes(services).routes(),
            *HistoryRoutes(services).routes(),
            *Connections(services).routes(),
            *OperationRoutes(services, browsers).routes(),
            *ServerApi(services, browsers).routes(),
        )
    )
    app = WebApp(services, login, browsers, documentation.routes)
    return WebServer(
        app.quart,
        browsers=browsers,
        settings=settings.web,
        telemetry=telemetry,
        direct=direct,
    )
