"""livestream_manager/orphans: outputs on inputs of ours that belong to nobody's show.

A store that was lost or restored from a backup knows nothing of outputs that go
on sending, and each costs money every minute. At start every live input that
carries our mark is looked at, and the outputs are deleted of those whose user
has no show. The trees of users who are there look after their own.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..cloudflare import CloudflareClient, Lane
from ..errors import CloudflareRefused, RateLimited, StreampaiError
from ..runtime import Backoff

# It is not urgent, and it competes with the polls of the same account.
LANE = Lane.IDLE
RETRY_BASE, RETRY_CAP = 5.0, 300.0

T = TypeVar("T")


async def sweep_orphans(client: CloudflareClient, is_served: Callable[[str], bool]) -> None:
    """Look once at every input that is marked as ours; tries again until it has worked.

    ``is_served(owner)`` says whether a tree looks after the inputs of this user, by the
    mark on the input; it is asked again right before anything is deleted.
    """
    for live_input in await _patiently(client.our_inputs):
        if is_served(live_input.owner):
            continue

        async def sweep(uid: str = live_input.uid, owner: str = live_input.owner) -> None:
            for output in await client.list_outputs(uid, lane=LANE):
                if not is_served(owner):
                    await client.delete_output(uid, output.uid)

        try:
            await _patiently(sweep)
        except CloudflareRefused:
            # This one cannot be cleared, an input that is gone for instance; the others can.
            continue


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    backoff = Backoff(RETRY_BASE, RETRY_CAP)
    while True:
        try:
            return await ask()
        except CloudflareRefused:
            raise
        except StreampaiError as exc:
            wait = exc.retry_after if isinstance(exc, RateLimited) else backoff.next()
            await trio.sleep(wait)
