"""One account's tokens: renewed early, once for all, written before use."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.errors import (
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StorageUnavailable,
    StreampaiError,
)
from streampai.platforms.platform import Tokens
from streampai.platforms.tokens import AccountTokens
from streampai.settings import Secret
from streampai.telemetry import Telemetry
from streampai.telemetry.events import TelemetryEvent, TokenRefreshed

from .fakes import spy_on, trio_now


def tokens(number: int, *, life: float = 4000.0) -> Tokens:
    return Tokens(
        access=Secret(f"access-{number}"),
        refresh=Secret(f"refresh-{number}"),
        expires_at=None if math.isinf(life) else trio_now() + timedelta(seconds=life),
    )


@attrs.define
class Bench:
    """Platform and storage as the tokens see them. ``answers`` are used up in order."""

    life: float = 4000.0
    takes: float = 1.0
    answers: list[StreampaiError] = attrs.field(factory=list)
    save_errors: list[StreampaiError] = attrs.field(factory=list)
    stored: Tokens | None = None
    asked: list[str] = attrs.field(factory=list)
    saved: list[str] = attrs.field(factory=list)
    relogins: list[str] = attrs.field(factory=list)
    told: list[TelemetryEvent] = attrs.field(factory=list)
    save_takes: float = 0.0

    async def refresh(self, old: Tokens) -> Tokens:
        self.asked.append(old.refresh.reveal())
        await trio.sleep(self.takes)
        if self.answers:
            raise self.answers.pop(0)
        return tokens(len(self.asked), life=self.life)

    async def save(self, new: Tokens) -> None:
        await trio.sleep(self.save_takes)
        if self.save_errors:
            raise self.save_errors.pop(0)
        self.saved.append(new.access.reveal())

    async def load(self) -> Tokens | None:
        await trio.lowlevel.checkpoint()
        return self.stored

    async def relogin(self, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.relogins.append(reason)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.told if isinstance(event, TokenRefreshed)]

    def make(
        self, first: Tokens, validate: Callable[[], Awaitable[None]] | None = None
    ) -> AccountTokens:
        telemetry = Telemetry()
        self.told = spy_on(telemetry)
        return AccountTokens(
            user_id=42,
            platform="twitch",
            tokens=first,
            load=self.load,
            save=self.save,
            refresh=self.refresh,
            relogin=self.relogin,
            now=trio_now,
            telemetry=telemetry,
            validate=validate,
            rng=lambda: 1.0,
        )

    @asynccontextmanager
    async def running(
        self, first: Tokens, validate: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[AccountTokens]:
        account = self.make(first, validate)
        async with trio.open_nursery() as nursery:
            await nursery.start(account.run)
            yield account
            nursery.cancel_scope.cancel()


async def test_good_tokens_are_given_as_they_are(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with bench.running(tokens(0)) as account:
        assert await account.access() == Secret("access-0")
        assert bench.asked == []


async def test_tokens_are_renewed_when_nine_tenths_of_their_life_are_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running(tokens(0)) as account:
        await trio.sleep(3590)
        assert bench.asked == []
        await trio.sleep(20)
        assert bench.asked == ["refresh-0"]
        assert await account.access() == Secret("access-1")
        await trio.sleep(3600)
        assert bench.asked == ["refresh-0", "refresh-1"]
    assert bench.outcomes() == ["renewed", "renewed"]


async def test_tokens_whose_end_is_unknown_are_renewed_only_on_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with bench.running(tokens(0, life=math.inf)) as account:
        await trio.sleep(80_000)
        assert bench.asked == []
        assert await account.renew(Secret("access-0")) == Secret("access-1")


async def test_twenty_who_were_refused_at_once_cost_one_renewal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    got = []
    async with bench.running(tokens(0)) as account:

        async def renew() -> None:
            got.append(await account.renew(Secret("access-0")))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(renew)
        # And one that comes late with the old token.
        await renew()
    assert got == [Secret("access-1")] * 21
    assert bench.asked == ["refresh-0"]


async def test_renewed_tokens_are_saved_before_anyone_gets_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(save_takes=5.0)
    async with bench.running(tokens(0)) as account, trio.open_nursery() as nursery:
        nursery.start_soon(account.renew, Secret("access-0"))
        await trio.sleep(3)
        # Twitch has answered; the answer is being written.
        assert bench.asked and not bench.saved
        assert await account.access() == Secret("access-0")
        await trio.sleep(4)
        assert bench.saved == ["access-1"]
        assert await account.access() == Secret("access-1")


async def test_tokens_that_cannot_be_saved_are_used_and_saved_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(save_errors=[StorageUnavailable(), StorageUnavailable()])
    async with bench.running(tokens(0)) as account:
        assert await account.renew(Secret("access-0")) == Secret("access-1")
        assert bench.saved == []
        assert bench.outcomes() == ["unsaved"]
        await trio.sleep(10)
        assert bench.saved == ["access-1"]
        assert bench.asked == ["refresh-0"]


async def test_a_definite_refusal_needs_a_log_in_and_ends_all_asking(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(answers=[ReloginNeeded("Invalid refresh token")])
    async with bench.running(tokens(0)) as account:
        with pytest.raises(ReloginNeeded, match="Invalid refresh token"):
            await account.renew(Secret("access-0"))
        with pytest.raises(ReloginNeeded):
            await account.access()
        await trio.sleep(80_000)
        assert bench.asked == ["refresh-0"]
        assert bench.relogins == ["Invalid refresh token"]
        assert account.relogin_needed == "Invalid refresh token"


async def test_a_refusal_is_not_final_when_better_tokens_are_stored(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(answers=[ReloginNeeded("used up")])
    async with bench.running(tokens(0)) as account:
        bench.stored = tokens(7)
        assert await account.renew(Secret("access-0")) == Secret("access-7")
        assert bench.relogins == []


async def test_a_failed_renewal_leaves_tokens_that_still_work_in_use(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(answers=[PlatformUnavailable("down")] * 3)
    async with bench.running(tokens(0)) as account:
        await trio.sleep(3602)
        assert bench.outcomes() == ["failed"]
        assert await account.access() == Secret("access-0")
        await trio.sleep(100)
        assert await account.access() == Secret("access-4")
        assert bench.asked == ["refresh-0"] * 4
        assert bench.outcomes() == ["failed", "failed", "failed", "renewed"]


async def test_after_a_failed_renewal_the_platform_is_left_alone_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(answers=[RateLimited(retry_after=20.0)])
    async with bench.running(tokens(0)) as account:
        for _ in range(5):
            with pytest.raises(PlatformUnavailable):
                await account.renew(Secret("access-0"))
        assert bench.asked == ["refresh-0"]
        await trio.sleep(21)
        assert await account.renew(Secret("access-0")) == Secret("access-2")


async def test_ended_tokens_that_cannot_be_renewed_are_not_given_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(answers=[PlatformUnavailable("down")] * 1000)
    async with bench.running(tokens(0)) as account:
        await trio.sleep(4001)
        with pytest.raises(PlatformUnavailable):
            await account.access()


async def test_a_caller_that_is_cancelled_takes_no_renewal_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(takes=5.0)
    async with bench.running(tokens(0)) as account:
        with trio.move_on_after(1):
            await account.renew(Secret("access-0"))
        await trio.sleep(5)
        assert bench.saved == ["access-1"]


async def test_stopping_waits_for_a_renewal_under_way_to_be_written(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(takes=5.0, save_takes=1.0)
    async with trio.open_nursery() as nursery:
        account = bench.make(tokens(0))
        await nursery.start(account.run)
        nursery.start_soon(account.renew, Secret("access-0"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert bench.saved == ["access-1"]
    assert trio.current_time() == 6


async def test_stopping_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(takes=1000.0)
    async with trio.open_nursery() as nursery:
        account = bench.make(tokens(0))
        await nursery.start(account.run)
        nursery.start_soon(account.renew, Secret("access-0"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert trio.current_time() < 30


async def test_without_a_refresher_a_caller_is_told_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    account = Bench().make(tokens(0))
    with pytest.raises(PlatformUnavailable):
        await account.renew(Secret("access-0"))


async def test_a_new_log_in_frees_who_waits_and_outlives_an_older_renewal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(takes=5.0)
    got = []
    async with bench.running(tokens(0)) as account, trio.open_nursery() as nursery:

        async def renew() -> None:
            got.append(await account.renew(Secret("access-0")))

        nursery.start_soon(renew)
        await trio.sleep(1)
        account.replace(tokens(9))
        await wait_all_tasks_blocked()
        assert got == [Secret("access-9")]
        await trio.sleep(10)
        assert await account.access() == Secret("access-9")
        assert bench.saved == []


async def test_a_new_log_in_ends_the_need_for_one(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with bench.running(tokens(0)) as account:
        account.refuse("removed at Twitch")
        await wait_all_tasks_blocked()
        assert bench.relogins == ["removed at Twitch"]
        account.replace(tokens(9))
        assert await account.access() == Secret("access-9")
        assert await account.renew(Secret("access-9")) == Secret("access-1")


async def test_a_refusal_that_comes_while_some_wait_reaches_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(takes=5.0)
    async with bench.running(tokens(0)) as account, trio.open_nursery() as nursery:

        async def renew() -> None:
            with pytest.raises(ReloginNeeded, match="removed"):
                await account.renew(Secret("access-0"))

        nursery.start_soon(renew)
        await trio.sleep(1)
        account.refuse("removed at Twitch")


async def test_the_log_in_is_validated_at_the_start_and_within_every_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    times = []

    async def validate() -> None:
        await trio.lowlevel.checkpoint()
        times.append(trio.current_time())

    async with Bench().running(tokens(0), validate):
        await trio.sleep(3 * 3600)
    assert times[0] == 0
    assert len(times) == 4
    assert all(after - before <= 3600 for before, after in zip(times, times[1:], strict=False))


async def test_a_validation_that_renews_does_not_wait_for_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    got = []

    async def validate() -> None:
        got.append(await account.renew(Secret("access-0")))

    account = bench.make(tokens(0), validate)
    async with trio.open_nursery() as nursery:
        await nursery.start(account.run)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert got == [Secret("access-1")]


async def test_a_validation_that_fails_for_certain_needs_a_log_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answers: list[StreampaiError] = [PlatformUnavailable("down"), ReloginNeeded("dead")]
    calls = []

    async def validate() -> None:
        calls.append(trio.current_time())
        raise answers.pop(0)

    bench = Bench()
    async with bench.running(tokens(0), validate):
        await trio.sleep(80_000)
    assert bench.relogins == ["dead"]
    assert calls == [0, 60]


def test_tokens_have_no_repr() -> None:
    shown = repr(Tokens(access=Secret("planted-access"), refresh=Secret("planted-refresh")))
    assert "planted" not in shown
