"""The disconnect clock: a stream ends some minutes after its encoder left.

The clock starts on evidence that the encoder is gone, at the moment it went,
and stops on evidence that it is back. An unknown input does neither; when the
deadline passes while nobody can say, the stream lives on until somebody can.
The deadline is stored, so that a restart does not give more time, and waited
for on the monotonic clock, so that a jump of the wall clock does not take any.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import trio
from trio_util import AsyncValue, compose_values

from ..cloudflare.models import InputState, InputStatus
from ..platforms.platform import Now
from .transitions import StreamStatus

# Times of leaving that are told of one absence differ by this much at most: they are
# corrected by a header that counts whole seconds. A later one is another absence.
SAME_ABSENCE = timedelta(seconds=5)


class DisconnectClock:
    """``started(deadline)``, ``stopped()`` and ``expired()`` are awaited as these happen.

    ``stored`` gives the deadline that an earlier life of the daemon wrote, if any.
    """

    def __init__(
        self,
        *,
        status: AsyncValue[StreamStatus],
        live_input: AsyncValue[InputStatus],
        timeout: float,
        stored: Callable[[], datetime | None],
        started: Callable[[datetime], Awaitable[None]],
        stopped: Callable[[], Awaitable[None]],
        expired: Callable[[], Awaitable[None]],
        now: Now,
    ) -> None:
        self._status = status
        self._input = live_input
        self._timeout = timeout
        self._stored = stored
        self._started = started
        self._stopped = stopped
        self._expired = expired
        self._now = now

    async def run(self) -> None:
        with compose_values(status=self._status, input=self._input) as both:
            if self._stored() is not None:
                # The encoder may have come back while nobody watched: that deadline is over.
                await both.wait_value(lambda value: _not_streaming(value) or _is_known(value))
                if _clock_is_off(both.value):
                    await self._stopped()
            while True:
                await both.wait_value(_encoder_is_gone)
                deadline = self._deadline()
                await self._started(deadline)
                remaining = (deadline - self._now()).total_seconds()
                with trio.move_on_after(max(0.0, remaining)):
                    await both.wait_value(_clock_is_off)
                # Unknown at the deadline: wait for somebody who knows.
                await both.wait_value(lambda value: _clock_is_off(value) or _is_known(value))
                if _clock_is_off(both.value):
                    await self._stopped()
                else:
                    await self._expired()
                    await both.wait_value(_not_streaming)

    def _deadline(self) -> datetime:
        now = self._now()
        # An encoder that never was in has no time of leaving.
        left_at = min(self._input.value.since or now, now)
        deadline = left_at + timedelta(seconds=self._timeout)
        stored = self._stored()
        if stored is None or (self._input.value.since and deadline > stored + SAME_ABSENCE):
            return deadline
        return stored


def _encoder_is_gone(value: Any) -> bool:
    return value.status is StreamStatus.STREAMING and value.input.state is InputState.DISCONNECTED


def _clock_is_off(value: Any) -> bool:
    return _not_streaming(value) or value.input.state is InputState.CONNECTED


def _not_streaming(value: Any) -> bool:
    return value.status is not StreamStatus.STREAMING


def _is_known(value: Any) -> bool:
    return value.input.state is not InputState.UNKNOWN
