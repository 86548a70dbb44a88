"""One service on one loopback port, by Hypercorn."""

import logging
import socket
from typing import Any

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve

from .front import Front

LOGGER = "streampai.sandbox"
MAX_INBOUND_MESSAGE = 64 * 1024


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket, port 0 for a free one. Raises OSError, before anything runs.

    Accepted connections inherit the options: a peer that stops reading is
    dropped, since Hypercorn's sends cannot be cancelled.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5_000)
        sock.bind((host, port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class _BoundConfig(Config):
    """Serves a socket that is bound already."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        # Each answer has its own Date: clocks may be told to be wrong.
        self.include_date_header = False
        self.include_server_header = False
        self.errorlog = logging.getLogger(LOGGER)
        self.alpn_protocols = ["http/1.1"]
        self.graceful_timeout = 0.2
        self.keep_alive_timeout = 60.0
        self.keep_alive_max_requests = 1_000_000
        self.websocket_max_message_size = MAX_INBOUND_MESSAGE

    def create_sockets(self) -> Sockets:
        return Sockets([], [self._sock], [])


async def serve_front(
    front: Front,
    sock: socket.socket,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; ``started()`` when the socket listens."""
    with sock:
        # Front speaks ASGI in plainer types than Hypercorn names.
        application: Any = front
        await serve(application, _BoundConfig(sock), mode="asgi", task_status=task_status)
