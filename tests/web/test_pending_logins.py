import pytest
import trio
from trio.testing import MockClock

from streampai.errors import CommandRefused
from streampai.web import pending_logins
from streampai.web.pending_logins import STATE_LIFETIME, PendingLogins

URI = "https://streampai.example/connections/twitch/callback"


async def test_a_state_is_good_once() -> None:
    pending = PendingLogins()
    state = pending.begin("session", "twitch", URI)
    assert pending.take(state, "session", "twitch") == URI
    with pytest.raises(CommandRefused):
        pending.take(state, "session", "twitch")


@pytest.mark.parametrize(("session", "platform"), [("other", "twitch"), ("session", "kick")])
async def test_a_state_is_good_for_its_own_log_in_and_platform_only(
    session: str, platform: str
) -> None:
    pending = PendingLogins()
    state = pending.begin("session", "twitch", URI)
    with pytest.raises(CommandRefused):
        pending.take(state, session, platform)


async def test_a_state_runs_out(autojump_clock: MockClock) -> None:
    pending = PendingLogins()
    state = pending.begin("session", "twitch", URI)
    await trio.sleep(STATE_LIFETIME + 1)
    with pytest.raises(CommandRefused):
        pending.take(state, "session", "twitch")


async def test_the_oldest_is_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending_logins, "MAX_STATES", 2)
    pending = PendingLogins()
    states = [pending.begin("session", "twitch", URI) for _ in range(3)]
    assert pending.take(states[2], "session", "twitch") == URI
    with pytest.raises(CommandRefused):
        pending.take(states[0], "session", "twitch")
