"""One TCP connection: Hypercorn's, fenced in.

Hypercorn's own ``serve`` lets an error of one connection end the whole server,
and some can be caused by a single packet from anybody (an HTTP/2 path that is
not ASCII, a broken ``HTTP2-Settings`` header). Here a connection that fails is
logged and is nobody else's matter, and only HTTP/1.1 is spoken, which is what
WebSockets and a reverse proxy need.
"""

import logging
import socket
from typing import Any

import h11
import trio
import wsproto.utilities
from hypercorn.config import Config, Sockets
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from ..settings import WebSettings

_log = logging.getLogger("streampai.web")

# Milliseconds after which the kernel gives up a peer that takes nothing: it bounds
# the sends that Hypercorn shields from cancelling.
TCP_USER_TIMEOUT = 15_000
# Seconds of silence, seconds between probes, probes: a peer that vanished is noticed.
KEEPALIVE = (20, 5, 3)
# Browsers that come back all at once after a restart wait here to be accepted.
BACKLOG = 1_024
# What the kernel holds for a slow reader before our own bounded queue fills.
SEND_BUFFER = 131_072


class ServerConfig(Config):
    """Hypercorn's settings, of which everything that matters here is written down."""

    def __init__(self, settings: WebSettings) -> None:
        self._address = (settings.host, settings.port)
        self.errorlog = _log
        self.include_server_header = False
        self.websocket_max_message_size = settings.max_frame
        self.keep_alive_timeout = 15.0
        # Browsers answer every ping, so whoever is silent for so long is gone. It also ends
        # connections that Hypercorn has refused and would leave open.
        self.read_timeout = max(30, round(2 * settings.ping_interval))

    def create_sockets(self) -> Sockets:
        """A listening socket whose options the accepted ones inherit. Raises OSError.

        Hypercorn's own would leave the socket open when the port is taken.
        """
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        sock = socket.create_server(self._address, family=family, backlog=BACKLOG)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle, interval, probes = KEEPALIVE
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        return Sockets([], [sock], [])


class _Http11(H11Protocol):
    async def _check_protocol(self, event: h11.Request) -> None:
        """Wishes for HTTP/2 are ignored, as the standard allows."""


class Connection(TCPServer):
    """Serves one accepted stream until it is closed; raises nothing but Cancelled."""

    # Hypercorn's annotations know TLS streams only; here there are none.
    stream: trio.SocketStream  # type: ignore[assignment]
    protocol: Any

    async def run(self) -> None:
        try:
            await self._run()
        except* (OSError, h11.ProtocolError, wsproto.utilities.ProtocolError):
            pass  # the peer is gone, or is not speaking our language
        except* Exception as group:  # noqa: BLE001 - the fence, see above
            _log.error("connection failed", exc_info=group)

    def abort(self) -> None:
        """Close the stream at once; a send that waits for the peer is woken."""
        self.stream.socket.close()

    async def _run(self) -> None:
        sock = self.stream.socket
        try:
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self.protocol = _Http11(
                    self.app,
                    self.config,
                    self.context,
                    task_group,
                    ConnectionState(self.state),
                    False,
                    parse_socket_addr(sock.family, sock.getpeername()),
                    parse_socket_addr(sock.family, sock.getsockname()),
                    self.protocol_send,
                )
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
        finally:
            # Closes the socket even when cancelled.
            await self._close()
