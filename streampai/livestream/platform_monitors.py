"""platform_monitors/42: the dynamic supervisor of one user's platform monitors.

A crash of one monitor is nobody else's. The supervisor itself may crash: which
monitors are wanted is its parent's knowledge, and ``run`` starts them again.
"""

from collections.abc import Callable, Collection

import trio

from .. import names
from ..platforms.monitor import PlatformMonitor
from ..runtime import Backoff, ChildSpec, DynamicSupervisor, Registry
from ..settings import LivestreamSettings
from .services import Report


class PlatformMonitorSupervisor:
    def __init__(
        self,
        *,
        user_id: int,
        make_monitor: Callable[[str], PlatformMonitor],
        wanted: Callable[[], Collection[str]],
        registry: Registry,
        settings: LivestreamSettings,
        report: Report,
    ) -> None:
        self._user_id = user_id
        self._make_monitor = make_monitor
        self._wanted = wanted
        self._registry = registry
        self._settings = settings
        self._supervisor = DynamicSupervisor(
            name=names.task_name(names.platform_monitors(user_id)),
            max_restarts=settings.monitor_restarts,
            max_seconds=settings.monitor_restart_window,
            backoff=Backoff(0.1, 5.0),
            report=report,
        )

    async def run(
        self, *, task_status: "trio.TaskStatus[object]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(
                self._supervisor.run,
                name=f"{names.task_name(names.platform_monitors(self._user_id))}/platforms",
            )
            for platform in self._wanted():
                await self.start(platform)
            with self._registry.registered(names.platform_monitors(self._user_id), self):
                task_status.started(self)
                await trio.sleep_forever()

    async def start(self, platform: str) -> None:
        """Run a monitor; nothing happens when one is running or being restarted."""
        if platform in self.running():
            return

        async def run(*, task_status: "trio.TaskStatus[object]" = trio.TASK_STATUS_IGNORED) -> None:
            # A fresh monitor for every start: a restart takes nothing over.
            await self._make_monitor(platform).run(task_status=task_status)

        await self._supervisor.start_child(
            ChildSpec(
                id=platform,
                start=run,
                name=names.task_name(names.platform_monitor(self._user_id, platform)),
                # A monitor deals with what platforms do; its crash is a bug, and past
                # its budget tried again for ever: the show's other platforms go on.
                restart_later=self._settings.monitor_restart_delay,
            )
        )

    async def stop(self, platform: str) -> None:
        """Stop a monitor; returns when it has ended. Unknown ones are fine."""
        if platform in self.running():
            await self._supervisor.terminate_child(platform)

    async def stop_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for platform in self.running():
                nursery.start_soon(self.stop, platform, name=f"stop_monitor/{platform}")

    def running(self) -> list[str]:
        return [str(child.id) for child in self._supervisor.which_children()]
