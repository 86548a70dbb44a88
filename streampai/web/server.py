"""The web server: accepts connections, and at the end sees every browser off.

    web
    ├── clock                     pings, pongs and deadlines of all browsers
    ├── accept                    one task for each listening socket
    └── connection …              Hypercorn's tasks, one tree for each TCP connection

Hypercorn's protocol code is used connection by connection; its ``serve`` is
not (see :mod:`.connection`).
"""

import resource
from functools import partial

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Sockets
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import repr_socket_addr
from quart_trio import QuartTrio

from ..errors import SettingsError
from ..settings import WebSettings
from ..telemetry import Telemetry
from ..telemetry.events import RequestRefused
from .browsers import Browsers
from .connection import Connection, ServerConfig
from .edge import Edge

# Left for the store, calls to platforms, log files and what libraries open.
_SPARE_DESCRIPTORS = 256
_MOST_CONNECTIONS = 20_000


def _connection_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(soft // 2, min(_MOST_CONNECTIONS, soft - _SPARE_DESCRIPTORS))


class WebServer:
    """``app`` is Quart's application, ``urls`` where it is served, known once started."""

    def __init__(
        self,
        app: QuartTrio,
        *,
        browsers: Browsers,
        settings: WebSettings,
        telemetry: Telemetry,
        max_connections: int | None = None,
        direct: bool = True,
    ) -> None:
        self.app = app
        self.urls: list[str] = []
        self._browsers = browsers
        self._settings = settings
        self._telemetry = telemetry
        self.max_connections = max_connections or _connection_limit()
        self._edge = Edge(app, max_message=settings.max_frame, direct=direct)
        self.connections: set[Connection] = set()
        self._closed = trio.Event()

    async def run(
        self, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; ``started`` gives the URLs once connections are accepted.

        Raises SettingsError when the address cannot be listened on. Cancelling
        refuses new connections, tells every browser (close code 1001) and lets
        requests finish, for ``shutdown_grace`` at most; then everything is cut.
        """
        config = ServerConfig(self._settings)
        sockets = self._bind(config)
        stopping = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(self._serve, config, sockets, stopping), name="web/serve")
            task_status.started(self.urls)
            try:
                await trio.sleep_forever()
            finally:
                stopping.set()

    def _bind(self, config: ServerConfig) -> Sockets:
        host, port = self._settings.host, self._settings.port
        try:
            sockets = config.create_sockets()
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise SettingsError(
                f"STREAMPAI_HOST={host} STREAMPAI_PORT={port}: cannot listen there ({reason});"
                " expected an address of this machine and a free port"
            ) from exc
        self.urls = [
            f"http://{repr_socket_addr(sock.family, sock.getsockname())}"
            for sock in sockets.insecure_sockets
        ]
        return sockets

    async def _serve(
        self,
        config: ServerConfig,
        sockets: Sockets,
        stopping: trio.Event,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        context = WorkerContext(None)
        listeners = [
            trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            for sock in sockets.insecure_sockets
        ]
        # Browsers must still be told when run() is cancelled, so everything lives behind a
        # shield; _drain bounds how long.
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._browsers.run, name="web/clock")
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(
                            trio.serve_listeners,
                            partial(self._handle, config, context),
                            listeners,
                            handler_nursery=nursery,
                        ),
                        name="web/accept",
                    )
                    task_status.started()
                    await stopping.wait()
                    accepting.cancel_scope.cancel()
                await self._drain(context)
                nursery.cancel_scope.cancel()

    async def _handle(
        self, config: ServerConfig, context: WorkerContext, stream: trio.SocketStream
    ) -> None:
        # Trio starts these tasks itself and has no name for them.
        trio.lowlevel.current_task().name = "web/connection"
        if len(self.connections) >= self.max_connections:
            refusal = RequestRefused(user_id=None, code="too_many_connections", where="accept")
            self._telemetry.emit(refusal)
            await stream.aclose()
            return
        connection = Connection(
            ASGIWrapper(self._edge),
            config,
            context,
            ConnectionState({}),
            stream,  # type: ignore[arg-type]  # see Connection
        )
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self._closed.set()
            self._closed = trio.Event()

    async def _drain(self, context: WorkerContext) -> None:
        with trio.move_on_after(self._settings.shutdown_grace):
            self._browsers.drain()
            # Ends connections that wait for a next request.
            await context.terminated.set()
            while self.connections:
                await self._closed.wait()
        # Hypercorn shields its sends, so cancelling alone would wait for slow readers.
        for connection in self.connections:
            connection.abort()
