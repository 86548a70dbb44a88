"""One account's tokens, kept alive: ``token_refresher/{user}/{platform}``.

All renewing happens in the task of ``run``, however many ask: two renewals at
once would each make the other's refresh token worthless, and a caller that is
cancelled must not take an answer with it that holds the only token still good.
"""

import math
import random
from collections.abc import Awaitable, Callable

import attrs
import trio

from .. import names
from ..errors import PlatformUnavailable, RateLimited, ReloginNeeded, StreampaiError
from ..runtime import Backoff
from ..settings import Secret
from ..telemetry import Telemetry
from ..telemetry.events import TokenRefreshed
from .platform import Now, Tokens

# Platforms demand that a kept log-in be checked at least every hour.
VALIDATE_EVERY = 3600.0
# After a check that could not be made.
VALIDATE_AGAIN = 60.0
# Renewing and writing down together; a stopping daemon waits so long at most.
RENEWAL_GRACE = 25.0
# Longer than the above, so that whoever waits hears the outcome; the bound is
# for the time when the refresher is being restarted.
CALLER_PATIENCE = 30.0
# The wall clock may be set and the machine may sleep: look at it again after so long.
LONGEST_PAUSE = 60.0


@attrs.define(eq=False)
class _Renewal:
    """One attempt that any number of callers wait for."""

    done: trio.Event = attrs.field(factory=trio.Event)
    error: StreampaiError | None = None


class AccountTokens:
    """The tokens of one user at one platform; fulfils ``AccessTokens``.

    ``refresh`` asks the platform, ``save`` stores durably (and encrypts),
    ``load`` reads what is stored, ``relogin`` marks the account as needing its
    user, with a sentence. ``validate`` is the platform's own check of the
    access token; it may itself use this object.

    Renewed tokens are saved before anyone gets them. When saving fails they
    are used all the same, since the old ones may be dead, and saving is tried
    until it works.
    """

    def __init__(
        self,
        *,
        user_id: int,
        platform: str,
        tokens: Tokens,
        save: Callable[[Tokens], Awaitable[None]],
        refresh: Callable[[Tokens], Awaitable[Tokens]],
        relogin: Callable[[str], Awaitable[None]],
        now: Now,
        telemetry: Telemetry,
        load: Callable[[], Awaitable[Tokens | None]] | None = None,
        validate: Callable[[], Awaitable[None]] | None = None,
        grace: float = RENEWAL_GRACE,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._grace = grace
        self._user_id = user_id
        self._platform = platform
        self._load = load
        self._save = save
        self._refresh = refresh
        self._relogin = relogin
        self._validate = validate
        self._now = now
        self._telemetry = telemetry
        self._rng = rng
        self._backoff = Backoff(1.0, 60.0, rng=rng)
        self._write_backoff = Backoff(1.0, 30.0, rng=rng)
        self._renewal: _Renewal | None = None
        self._refusal = ""
        # What could not be written yet.
        self._unsaved: Tokens | None = None
        self._untold = False
        self._write_again_at = -math.inf
        self._renew_again_at = -math.inf
        # Counts log-ins: the answer to a renewal of an older one is not wanted.
        self._log_in = 0
        self._wake = trio.Event()
        self._replaced = trio.Event()
        self._adopt(tokens)

    @property
    def relogin_needed(self) -> str:
        """The reason, a sentence; "" while the tokens are good."""
        return self._refusal

    async def access(self) -> Secret:
        """An access token that is good for a while, renewed first when it is about to end.

        Raises ReloginNeeded, or PlatformUnavailable when it has ended and
        cannot be renewed now.
        """
        await trio.lowlevel.checkpoint()
        self._check_refusal()
        if self._remaining() > self._margin / 2:
            return self._tokens.access
        try:
            return await self._renewed()
        except PlatformUnavailable:
            if self._remaining() > 0:
                return self._tokens.access
            raise

    async def renew(self, rejected: Secret) -> Secret:
        """A token other than ``rejected``, which the platform answered with 401.

        However many ask, the platform is asked once. Cancelling abandons the
        wait, not the renewal. Raises ReloginNeeded or PlatformUnavailable.
        """
        await trio.lowlevel.checkpoint()
        self._check_refusal()
        if self._tokens.access != rejected:
            return self._tokens.access
        return await self._renewed()

    def refuse(self, reason: str) -> None:
        """The authorisation is gone for certain; only a new log-in helps. Idempotent."""
        if not self._refusal:
            self._refusal = reason
            self._untold = True
            self._finish(ReloginNeeded(reason))
            self._wake.set()

    def replace(self, tokens: Tokens) -> None:
        """The user has logged in anew; ``tokens`` are stored already."""
        self._log_in += 1
        self._adopt(tokens)
        self._refusal = ""
        self._unsaved = None
        self._untold = False
        self._renew_again_at = -math.inf
        self._backoff.reset()
        self._finish(None)
        self._wake.set()
        self._replaced.set()
        self._replaced = trio.Event()

    async def run(
        self, *, task_status: trio.TaskStatus["AccountTokens"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Renew at about 90 % of the tokens' life and on request, validate every hour.

        Cancelling waits, ``grace`` seconds at most, for a renewal that is under way
        to be written down.
        """
        name = names.task_name(names.token_refresher(self._user_id, self._platform))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_fresh, name=f"{name}/renew")
            if self._validate is not None:
                nursery.start_soon(self._validate_hourly, self._validate, name=f"{name}/validate")
            task_status.started(self)

    # --- What callers wait for ---------------------------------------------

    def _check_refusal(self) -> None:
        if self._refusal:
            raise ReloginNeeded(self._refusal)

    async def _renewed(self) -> Secret:
        if (wait := self._renew_again_at - trio.current_time()) > 0:
            raise PlatformUnavailable(f"the log-in could not be renewed; again in {wait:.0f} s")
        if self._renewal is None:
            self._renewal = _Renewal()
            self._wake.set()
        renewal = self._renewal
        with trio.move_on_after(CALLER_PATIENCE) as patience:
            await renewal.done.wait()
        if patience.cancelled_caught:
            raise PlatformUnavailable("the log-in is not being renewed at present")
        if isinstance(renewal.error, ReloginNeeded):
            raise ReloginNeeded(renewal.error.message) from renewal.error
        if renewal.error is not None:
            raise PlatformUnavailable(renewal.error.message) from renewal.error
        return self._tokens.access

    def _finish(self, error: StreampaiError | None) -> None:
        if self._renewal is not None:
            self._renewal.error = error
            self._renewal.done.set()
            self._renewal = None

    # --- Time --------------------------------------------------------------

    def _adopt(self, tokens: Tokens) -> None:
        self._tokens = tokens
        # Of tokens from storage only the rest of their life is known.
        life = self._remaining()
        self._margin = 0.0 if math.isinf(life) else min(max(life / 10, 60.0), life / 2)

    def _remaining(self) -> float:
        if self._tokens.expires_at is None:
            return math.inf
        return (self._tokens.expires_at - self._now()).total_seconds()

    def _must_renew(self) -> bool:
        if self._refusal or trio.current_time() < self._renew_again_at:
            return False
        return self._renewal is not None or self._remaining() <= self._margin

    def _must_write(self) -> bool:
        return (
            self._untold or self._unsaved is not None
        ) and trio.current_time() >= self._write_again_at

    def _pause(self) -> float:
        now = trio.current_time()
        pause = LONGEST_PAUSE
        if self._untold or self._unsaved is not None:
            pause = min(pause, self._write_again_at - now)
        if not self._refusal:
            until_due = max(self._remaining() - self._margin, self._renew_again_at - now)
            pause = min(pause, until_due)
        return max(pause, 0.0)

    # --- The refresher's own tasks -----------------------------------------

    async def _keep_fresh(self) -> None:
        while True:
            self._wake = trio.Event()
            if self._must_write():
                await self._write()
            elif self._must_renew():
                await self._renew()
            else:
                with trio.move_on_after(self._pause()):
                    await self._wake.wait()

    async def _renew(self) -> None:
        log_in = self._log_in
        self._renewal = self._renewal or _Renewal()
        fresh: Tokens | None = None
        error: StreampaiError | None = None
        # Leaving between the platform's answer and our writing it down would
        # lose the only refresh token that still works.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._grace):
            try:
                fresh = await self._refresh_or_load(self._tokens)
            except StreampaiError as exc:
                error = exc
            else:
                if log_in == self._log_in:
                    self._unsaved = fresh
                    await self._write()
        if log_in != self._log_in:
            return
        if fresh is not None:
            self._adopt(fresh)
        elif error is None:
            error = PlatformUnavailable("the log-in could not be renewed in time")
        self._conclude(error)

    async def _refresh_or_load(self, old: Tokens) -> Tokens:
        try:
            return await self._refresh(old)
        except ReloginNeeded:
            # Another process, or a log-in we have not been told of, may have
            # used up our refresh token and stored a better one.
            stored = await self._load() if self._load is not None else None
            if stored is None or stored.refresh == old.refresh:
                raise
            return stored

    def _conclude(self, error: StreampaiError | None) -> None:
        if error is None:
            outcome = "renewed" if self._unsaved is None else "unsaved"
            self._backoff.reset()
            self._finish(None)
        elif isinstance(error, ReloginNeeded):
            outcome = "refused"
            self.refuse(error.message)
        else:
            outcome = "failed"
            wait = self._backoff.next()
            if isinstance(error, RateLimited):
                wait = max(wait, error.retry_after)
            self._renew_again_at = trio.current_time() + wait
            self._finish(error)
        self._telemetry.emit(
            TokenRefreshed(user_id=self._user_id, platform=self._platform, outcome=outcome)
        )

    async def _write(self) -> None:
        """Save what is unsaved, tell what is untold; on failure both again later."""
        log_in = self._log_in
        try:
            if self._unsaved is not None:
                await self._save(self._unsaved)
                # After a log-in meanwhile there is nothing left to save.
                self._unsaved = None
            if self._untold:
                await self._relogin(self._refusal)
                if log_in == self._log_in:
                    self._untold = False
        except StreampaiError:
            self._write_again_at = trio.current_time() + self._write_backoff.next()
        else:
            self._write_backoff.reset()

    async def _validate_hourly(self, validate: Callable[[], Awaitable[None]]) -> None:
        while True:
            if self._refusal:
                await self._replaced.wait()
            # Not all accounts of a daemon in the same second, and never late.
            wait = VALIDATE_EVERY * (1 - self._rng() / 10)
            try:
                await validate()
            except ReloginNeeded as exc:
                self.refuse(exc.message)
            except StreampaiError:
                wait = VALIDATE_AGAIN
            await trio.sleep(wait)
