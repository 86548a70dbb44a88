"""The outputs of one user's show: created, removed, and kept as they are wanted.

After a restart, and whenever an answer was lost, what exists at the ingest is
compared with what is wanted: adopted, created, deleted.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import trio
from trio_util import AsyncValue

from ..cloudflare import CloudflareOutputManager
from ..errors import CommandRefused, RateLimited, StreampaiError
from ..events import OutputCreated, OutputDestroyed, OutputFailed
from ..platforms.platform import Destination
from ..runtime import Backoff, NotRunning
from .accounts import UserAccounts
from .state_client import StateClient
from .user_tree import UserTree
from .wishes import Wishes

Answer = TypeVar("Answer")
Failures = dict[str, StreampaiError]

# Waits between attempts to reach Cloudflare for clean-up or repair; the last one
# repeats until it works, since an output left behind costs money every minute.
RETRY_BASE, RETRY_CAP = 0.5, 30.0


class ShowOutputs:
    """``repaired(platform)`` is awaited for an output that exists after all."""

    def __init__(
        self,
        *,
        wishes: Wishes,
        state: StateClient,
        tree: UserTree,
        accounts: UserAccounts,
        repaired: Callable[[str], Awaitable[None]],
    ) -> None:
        self._repaired = repaired
        self._wishes = wishes
        self._state = state
        self._tree = tree
        self._accounts = accounts
        # Whether the outputs may be other than they are wanted.
        self._repair: AsyncValue[bool] = AsyncValue(False)
        self._repair_scope: trio.CancelScope | None = None

    async def create(self, platforms: Collection[str]) -> Failures:
        """Ask each platform where to send, create the outputs; the ones that failed, and why."""
        failed: Failures = {}
        wanted: dict[str, Destination] = {}

        async def ask(platform: str) -> None:
            await self._state.show_destination(
                platform, output="creating", output_code="", output_reason=""
            )
            try:
                wanted[platform] = await self._accounts.get(platform).destination()
            except StreampaiError as exc:
                failed[platform] = exc

        async with trio.open_nursery() as nursery:
            for platform in platforms:
                nursery.start_soon(ask, platform, name=f"destination/{platform}")
        self._wishes.outputs.update(wanted)
        if wanted:
            try:
                results = await self._ask(lambda outputs: outputs.create_outputs(wanted))
            except StreampaiError as exc:
                results = dict.fromkeys(wanted, exc)
            failed |= {p: r for p, r in results.items() if isinstance(r, StreampaiError)}
        for platform in platforms:
            await self._show(platform, failed.get(platform))
        return failed

    async def destroy(self, platforms: Collection[str] | None = None) -> None:
        """Destroy outputs, all by default, and do not come back before they are gone."""
        gone = list(self._state.destinations) if platforms is None else list(platforms)
        for platform in gone:
            if self._state.destinations[platform].output != "none":
                await self._state.show_destination(platform, output="removing")
        backoff = Backoff(RETRY_BASE, RETRY_CAP)
        while True:
            try:
                await self._ask(lambda outputs: outputs.destroy_outputs(platforms))
            except StreampaiError as exc:
                if exc.code == "input_missing":
                    break
                wait = exc.retry_after if isinstance(exc, RateLimited) else backoff.next()
                await self._state.show(reason=f"Outputs are still to be removed: {exc.message}")
                await trio.sleep(wait)
            else:
                break
        for platform in gone:
            self._wishes.outputs.pop(platform, None)
            if self._state.destinations[platform].output != "none":
                await self._state.show_destination(
                    platform, output="none", output_code="", output_reason=""
                )
                await self._state.tell(OutputDestroyed(platform=platform, **self._state.facts()))

    async def _show(self, platform: str, error: StreampaiError | None) -> None:
        facts = self._state.facts()
        destination = self._state.destinations[platform]
        if error is not None:
            if (destination.output, destination.output_code) == ("failed", error.code):
                # Said already; a repair tries again and again.
                return
            await self._state.show_destination(
                platform, output="failed", output_code=error.code, output_reason=error.message
            )
            await self._state.tell(
                OutputFailed(platform=platform, code=error.code, reason=error.message, **facts)
            )
        elif destination.output != "active":
            await self._state.show_destination(
                platform, output="active", output_code="", output_reason=""
            )
            await self._state.tell(OutputCreated(platform=platform, **facts))

    async def _ask(self, ask: Callable[[CloudflareOutputManager], Awaitable[Answer]]) -> Answer:
        """Raises CommandRefused ``user_restarting`` when the output manager ends meanwhile."""
        try:
            return await ask(self._tree.outputs())
        except NotRunning:
            raise CommandRefused(code="user_restarting", retryable=True) from None

    # --- keeping them as they are wanted -----------------------------------------------

    def want_repair(self, wanted: bool = True) -> None:
        """What exists may be other than what is wanted; ``keep`` looks after it."""
        self._repair.value = wanted

    def stop_repairing(self) -> bool:
        """A start, a stop or a change takes over. Whether something was left to repair."""
        left: bool = self._repair.value
        self._repair.value = False
        if self._repair_scope is not None:
            self._repair_scope.cancel()
        return left

    async def keep(self) -> None:
        """Adopt what exists, create what is missing, delete the rest, whenever that is wanted.

        Tries again until it has worked.
        """
        while True:
            await self._repair.wait_value(True)
            with trio.CancelScope() as self._repair_scope:
                if self._repair.value:
                    await self._reconcile()
                    # Who stopped it has said already whether it is wanted again.
                    if not self._repair_scope.cancel_called:
                        self._repair.value = False
            self._repair_scope = None

    async def _reconcile(self) -> None:
        backoff = Backoff(RETRY_BASE, RETRY_CAP)
        while True:
            session = self._wishes.session
            platforms = session.platforms if session is not None else ()
            try:
                again = await self._reconcile_once(platforms)
            except StreampaiError as exc:
                if exc.code == "input_missing" and not platforms:
                    return
                again = True
                wait = exc.retry_after if isinstance(exc, RateLimited) else backoff.next()
            else:
                wait = backoff.next()
            if not again:
                return
            await trio.sleep(wait)

    async def _reconcile_once(self, platforms: Collection[str]) -> bool:
        """True when something is left to be tried again."""
        again = False
        wanted: dict[str, Destination] = {}
        failed: Failures = {}
        for platform in platforms:
            try:
                wanted[platform] = await self._accounts.get(platform).destination()
            except StreampaiError as exc:
                failed[platform] = exc
                again |= exc.retryable
        self._wishes.outputs.update(wanted)
        # While a key is unknown an output cannot be told from a stranger's: delete none.
        results = await self._ask(
            lambda outputs: outputs.create_outputs(wanted) if failed else outputs.reconcile(wanted)
        )
        for platform, result in results.items():
            if isinstance(result, StreampaiError):
                failed[platform] = result
                again |= result.retryable
        for platform in platforms:
            await self._show(platform, failed.get(platform))
            if platform not in failed:
                await self._repaired(platform)
        return again
