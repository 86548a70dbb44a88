"""Creates and destroys one user's outputs, so that they are what is wanted.

The truth is always Cloudflare's list; what this server remembers is only which
destination a platform was given, so that "drop Twitch" can be said by name.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import cast

import attrs
import trio

from .. import names
from ..errors import CloudflareUnavailable, StreampaiError
from ..runtime import Registry, Server
from ..telemetry import Telemetry
from .client import CloudflareClient
from .intents import IntentLog
from .limiter import Lane
from .models import Output
from .output_calls import OutputCalls
from .places import Destination, Place, best_output, doubles, place_of, places_of

# Requests of one user under way at once; the account's are bounded in the transport.
CONCURRENCY = 4
# Deleting is over when the list says so; it may lag behind, so it is read again
# a few times before the caller is told that it is not complete.
ROUNDS = 3
ROUND_PAUSE = 0.5
INIT_PATIENCE = 5.0
# A caller waits for its turn and for Cloudflare, each of which has bounds of its own.
CAPACITY = 64

Outcome = Mapping[str, Output | StreampaiError]


@attrs.frozen(kw_only=True)
class _Create:
    wanted: Mapping[str, Destination]


@attrs.frozen(kw_only=True)
class _Destroy:
    platforms: frozenset[str] | None


@attrs.frozen(kw_only=True)
class _Reconcile:
    wanted: Mapping[str, Destination]


@attrs.frozen(kw_only=True)
class _List:
    pass


class CloudflareOutputManager(Server):
    """Registered as ``cloudflare_output/{user}``; does one thing at a time.

    ``known`` is where a predecessor sent which platform; its parent keeps that for it.
    A caller that is cancelled gives up the answer, not the work. All methods raise
    NotRunning when the server ends, and what ``input_uid`` raises.
    """

    expected_errors = (StreampaiError,)

    def __init__(
        self,
        *,
        user_id: int,
        client: CloudflareClient,
        input_uid: Callable[[], Awaitable[str]],
        intents: IntentLog,
        registry: Registry,
        telemetry: Telemetry,
        known: Mapping[str, Destination] | None = None,
    ) -> None:
        super().__init__(key=names.cloudflare_output(user_id), registry=registry, capacity=CAPACITY)
        self._input_uid = input_uid
        self._calls = OutputCalls(
            user_id=user_id, client=client, intents=intents, telemetry=telemetry
        )
        self._slots = trio.CapacityLimiter(CONCURRENCY)
        # Where each platform was last sent; bounded by the number of platforms.
        self._places: dict[str, Place] = places_of(known or {})

    async def create_outputs(self, wanted: Mapping[str, Destination]) -> Outcome:
        """Make the missing outputs of ``wanted``, adopt the existing ones, touch no others'.

        Every platform gets its Output or its own error. A platform's output to a
        place where it is no longer to be sent is removed.
        """
        return cast(Outcome, await self.call(_Create(wanted=dict(wanted)), timeout=None))

    async def destroy_outputs(self, platforms: Collection[str] | None = None) -> None:
        """Remove the outputs of ``platforms``, or with None every output of the input.

        Returns when a listing shows that they are gone; an input that is gone has none.
        Otherwise raises CloudflareUnavailable, or what Cloudflare refused; call it again.
        """
        chosen = None if platforms is None else frozenset(platforms)
        await self.call(_Destroy(platforms=chosen), timeout=None)

    async def reconcile(self, wanted: Mapping[str, Destination]) -> Outcome:
        """As create_outputs, and remove every other output of the input.

        Raises CloudflareUnavailable and the like when the outputs cannot be listed or
        what is not wanted could not be removed; call it again.
        """
        return cast(Outcome, await self.call(_Reconcile(wanted=dict(wanted)), timeout=None))

    async def outputs(self) -> list[Output]:
        """What Cloudflare lists now."""
        return cast(list[Output], await self.call(_List(), timeout=None))

    async def init(self) -> None:
        # The user's whole tree waits here; what takes longer is done before the next effect.
        with trio.move_on_after(INIT_PATIENCE):
            await self._settle()

    async def handle(self, message: object) -> object:
        await self._settle()
        match message:
            case _Create():
                return await self._create(message.wanted)
            case _Reconcile():
                return await self._reconcile(message.wanted)
            case _Destroy():
                await self._destroy(message.platforms)
                return None
            case _List():
                return await self._calls.list_outputs(await self._input_uid(), lane=Lane.START)
        raise TypeError(f"no such message: {message!r}")

    async def _settle(self) -> None:
        # Neither a start of this server nor a Stop waits for it: what is asked for is
        # found out by listing anyway, and the rows are settled the next time.
        with suppress(StreampaiError):
            await self._calls.settle()

    async def _create(self, wanted: Mapping[str, Destination]) -> Outcome:
        try:
            uid = await self._input_uid()
            outputs = await self._calls.list_outputs(uid, lane=Lane.START)
        except StreampaiError as error:
            return dict.fromkeys(wanted, error)
        places = places_of(wanted)
        left = {self._places[p] for p in wanted if p in self._places}
        self._places.update(places)
        left -= set(self._places.values())
        results = await self._ensure(uid, outputs, wanted)
        # The wanted outputs exist. Doubles and leftovers do no harm that an error would
        # mend, and every later listing finds them.
        with suppress(StreampaiError):
            await self._clear(uid, outputs, results, places, lambda place: place in left)
        return results

    async def _reconcile(self, wanted: Mapping[str, Destination]) -> Outcome:
        uid = await self._input_uid()
        outputs = await self._calls.list_outputs(uid, lane=Lane.START)
        self._places = places = places_of(wanted)
        results = await self._ensure(uid, outputs, wanted)
        wanted_places = set(places.values())
        await self._clear(uid, outputs, results, places, lambda place: place not in wanted_places)
        return results

    async def _clear(
        self,
        uid: str,
        before: Collection[Output],
        results: Outcome,
        places: Mapping[str, Place],
        unwanted: Callable[[Place], bool],
    ) -> None:
        """Remove doubles of ``places`` and what is ``unwanted``, unless ``before`` still holds."""
        kept = {result.uid for result in results.values() if isinstance(result, Output)}

        def doomed(listed: Collection[Output]) -> list[Output]:
            strangers = [output for output in listed if unwanted(place_of(output))]
            return strangers + doubles(listed, places.values(), kept)

        if doomed(before) or not kept <= {output.uid for output in before}:
            await self._remove(uid, doomed, lane=Lane.START)

    async def _destroy(self, platforms: frozenset[str] | None) -> None:
        uid = await self._input_uid()
        if platforms is None:
            await self._remove(uid, list, lane=Lane.STOP)
            self._places.clear()
            return
        kept = {place for p, place in self._places.items() if p not in platforms}
        places = {self._places[p] for p in platforms if p in self._places} - kept
        if places:
            await self._remove(
                uid, lambda listed: [o for o in listed if place_of(o) in places], lane=Lane.STOP
            )
        for platform in platforms:
            self._places.pop(platform, None)

    async def _ensure(
        self, uid: str, outputs: Collection[Output], wanted: Mapping[str, Destination]
    ) -> dict[str, Output | StreampaiError]:
        """An output for each place that is wanted; platforms with the same place share it."""
        results: dict[str, Output | StreampaiError] = {}
        sharing: dict[Place, list[str]] = {}
        for platform, place in places_of(wanted).items():
            sharing.setdefault(place, []).append(platform)

        async def ensure(place: Place, platforms: list[str]) -> None:
            existing = [output for output in outputs if place_of(output) == place]
            outcome: Output | StreampaiError
            try:
                async with self._slots:
                    outcome = await self._ensure_one(
                        uid, platforms[0], wanted[platforms[0]], existing
                    )
            except StreampaiError as error:
                outcome = error
            results.update(dict.fromkeys(platforms, outcome))

        async with trio.open_nursery() as nursery:
            for place, platforms in sharing.items():
                nursery.start_soon(
                    ensure, place, platforms, name=f"{self.name}/create/{platforms[0]}"
                )
        return results

    async def _ensure_one(
        self, uid: str, platform: str, destination: Destination, existing: list[Output]
    ) -> Output:
        if not existing:
            return await self._calls.create(uid, platform, destination)
        best = best_output(existing)
        if best.enabled:
            return best
        await self._calls.enable(uid, platform, best)
        return attrs.evolve(best, enabled=True)

    async def _remove(
        self,
        uid: str,
        doomed: Callable[[Collection[Output]], list[Output]],
        *,
        lane: Lane,
    ) -> None:
        """Delete what ``doomed`` picks of the list until a fresh list has none of it."""
        errors: list[StreampaiError] = []
        for round_ in range(ROUNDS + 1):
            if not (outputs := doomed(await self._calls.list_outputs(uid, lane=lane))):
                return
            if round_ == ROUNDS:
                break
            if round_:
                await trio.sleep(ROUND_PAUSE * round_)
            errors = await self._delete(uid, outputs)
            for error in errors:
                # A refusal, a block, a store that cannot be written: no round will mend it.
                if not isinstance(error, CloudflareUnavailable):
                    raise error
        why = f": {errors[-1].message}" if errors else "."
        raise CloudflareUnavailable(
            f"{len(outputs)} outputs could not be removed{why}", outputs=len(outputs)
        ) from (errors[-1] if errors else None)

    async def _delete(self, uid: str, outputs: Collection[Output]) -> list[StreampaiError]:
        """Delete each; one that fails keeps no other from being deleted. The failures."""
        errors: list[StreampaiError] = []
        platforms = {place: platform for platform, place in self._places.items()}

        async def delete(output: Output) -> None:
            try:
                async with self._slots:
                    await self._calls.delete(uid, platforms.get(place_of(output), ""), output)
            except StreampaiError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for output in outputs:
                nursery.start_soon(delete, output, name=f"{self.name}/delete/{output.uid}")
        return errors
