"""Word to systemd: READY, STATUS, WATCHDOG, STOPPING (sd_notify(3)).

The watchdog is fed from Trio's loop by a task of its own, never from a thread:
a loop that stands still must not look alive.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

import trio

from .bus import Telemetry
from .events import LoopLagMeasured


class Notifier:
    """Sends datagrams to the socket that ``NOTIFY_SOCKET`` names; does nothing without it.

    A name that begins with ``@`` is in Linux's abstract namespace. Sending
    never waits and never raises: a service manager that is busy or gone is not
    the daemon's trouble. ``watchdog`` is the seconds within which systemd wants
    to be fed, or None.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._status = ""
        self.watchdog = self._watchdog_seconds(environ)

    @staticmethod
    def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
        # WATCHDOG_PID keeps a child that inherited the environment from feeding for its parent.
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        text = environ.get("WATCHDOG_USEC", "")
        if not (environ.get("NOTIFY_SOCKET") and meant and text.isascii() and text.isdigit()):
            return None
        return int(text) / 1_000_000 or None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(text.encode(), self._address)
            except OSError:
                # Full or gone: the next word may get through.
                return

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def feed(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; the same line is not sent twice in a row."""
        if text != self._status:
            self._status = text
            self._send("STATUS=" + text.replace("\n", " "))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def feed_watchdog(
    notifier: Notifier,
    telemetry: Telemetry,
    *,
    heartbeat: Callable[[], Awaitable[None]],
    status: Callable[[], str],
    interval: float = 1.0,
) -> NoReturn:
    """Measure the loop's lag every ``interval`` seconds and feed systemd while all is well.

    ``heartbeat`` is awaited before each feeding, twice within the time systemd
    allows: if it hangs, systemd is not fed and restarts the daemon; what it
    raises is raised here. Emits LoopLagMeasured. Runs until cancelled.
    """
    every = min(interval, notifier.watchdog / 2) if notifier.watchdog else interval
    feed_at = trio.current_time()
    while True:
        due = trio.current_time() + every
        await trio.sleep_until(due)
        telemetry.emit(LoopLagMeasured(lag=trio.current_time() - due))
        notifier.status(status())
        if notifier.watchdog and trio.current_time() >= feed_at:
            feed_at = trio.current_time() + notifier.watchdog / 2 - every
            await heartbeat()
            notifier.feed()
