"""Until when everything was heard of each platform of a running show.

A monitor names what a break made it miss. When the monitor itself crashed, or
the whole tree, or the daemon, its successor has to be told when that was.
"""

from collections.abc import Collection
from datetime import datetime

from .. import names
from ..events import MonitorStatus, MonitorStatusChanged, PlatformEvent, decode_event
from ..platforms.monitor import PlatformMonitor
from ..storage import Storage

# Of a monitor that was waiting when the daemon died, some words stand after the last
# event that was heard; it waits ever longer, so there are not many.
LOOK_BACK = 100


class Listening:
    def __init__(self, *, user_id: int, storage: Storage) -> None:
        self._user_id = user_id
        self._storage = storage
        self._stored: dict[str, datetime] = {}
        self._monitors: dict[str, PlatformMonitor] = {}

    async def load(self, platforms: Collection[str], *, since: datetime) -> None:
        """Read what the former life of a show that began at ``since`` has stored."""
        for platform in platforms:
            topic = names.platform_topic(platform, self._user_id)
            for _, payload in reversed(await self._storage.events.last(topic, LOOK_BACK)):
                event = decode_event(payload)
                if isinstance(event, PlatformEvent) and _was_heard(event):
                    # That of an earlier show is no measure for this one.
                    if event.received_at >= since:
                        self._stored[platform] = event.received_at
                    break

    def until(self, platform: str) -> datetime | None:
        """None: nothing has been heard in this show, so nothing was missed."""
        if (monitor := self._monitors.get(platform)) is not None:
            return monitor.alive_until
        return self._stored.get(platform)

    def follow(self, platform: str, monitor: PlatformMonitor) -> None:
        """``monitor`` listens from now on."""
        self._monitors[platform] = monitor

    def forget(self, platform: str) -> None:
        """Nobody is to listen any more: what happens now is not missed."""
        self._stored.pop(platform, None)
        self._monitors.pop(platform, None)


def _was_heard(event: PlatformEvent) -> bool:
    """Whether somebody listened at that time. A monitor also speaks while it does not."""
    return not isinstance(event, MonitorStatusChanged) or event.status is MonitorStatus.CONNECTED
