"""From status words to "is the encoder in". Pure.

The words come from three places (the published enum, the event schema, real
answers), and the enum alone is not enough: an OBS that came back may be
``reconnected``, and the everyday ``disconnected`` is not in it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from .models import InputState, InputStatus, StatusClass, StatusItem

STATUS_WORDS: Mapping[str, StatusClass] = {
    "connected": StatusClass.LIVE,
    "reconnected": StatusClass.LIVE,
    "live": StatusClass.LIVE,
    "reconnecting": StatusClass.GAP,
    "new_configuration_accepted": StatusClass.NO_EVIDENCE,
    "disconnected": StatusClass.DOWN,
    "client_disconnect": StatusClass.DOWN,
    "ttl_exceeded": StatusClass.DOWN,
    "failed_to_connect": StatusClass.DOWN,
    "failed_to_reconnect": StatusClass.DOWN,
    "errored": StatusClass.DOWN,
}
STATUS_WORDS_DOWN = frozenset(
    word for word, meaning in STATUS_WORDS.items() if meaning is StatusClass.DOWN
)
# These tell of an attempt that brought no video: the encoder has been away since
# before. The other words of absence tell that it was there until then.
FURTHER_ATTEMPTS = frozenset(
    {"reconnecting", "failed_to_connect", "failed_to_reconnect", "errored"}
)
# A connected input whose heartbeat is older than this has no sender any more.
HEARTBEAT_LIMIT = timedelta(seconds=90)
# The Date header has whole seconds and the answer takes time to travel: a smaller
# difference of the clocks cannot be told from none, and would make ``since`` jitter.
SMALLEST_SKEW = timedelta(seconds=3)


def classify(word: str | None) -> StatusClass:
    """What a word is evidence of. None is "never connected"; an unknown word is no evidence."""
    if word is None:
        return StatusClass.NEVER
    return STATUS_WORDS.get(word, StatusClass.NO_EVIDENCE)


def clock_skew(server_date: datetime | None, now: datetime) -> timedelta:
    """How far Cloudflare's clock is ahead of ours; zero when that cannot be told."""
    skew = timedelta(0) if server_date is None else server_date - now
    return skew if abs(skew) >= SMALLEST_SKEW else timedelta(0)


def next_status(
    previous: InputStatus, item: StatusItem | None, *, now: datetime, server_date: datetime | None
) -> InputStatus:
    """The status after a successful check at ``now``. ``next_check_in`` is left to the caller."""
    meaning = classify(None if item is None else item.word)
    skew = clock_skew(server_date, now)
    if item is None:
        return _checked(previous, InputState.DISCONNECTED, None, now=now)
    if meaning is StatusClass.NO_EVIDENCE:
        return attrs.evolve(
            previous,
            state=previous.last_known,
            checked_at=now,
            checking_failed="",
        )
    began, reason = item.entered_at, item.reason
    if meaning is StatusClass.LIVE and (quiet := _quiet_since(item, now + skew)) is not None:
        meaning, began = StatusClass.GAP, quiet
        reason = "Cloudflare has not heard from the encoder for a while."
    elif item.word == "errored":
        reason = (
            f"Cloudflare reports an error of the encoder's stream: {reason or 'no reason given'}."
        )
    state = InputState.CONNECTED if meaning is StatusClass.LIVE else InputState.DISCONNECTED
    since = now if began is None else min(now, began - skew)
    if _goes_on(previous, item, state, began):
        since = previous.since or since
    status = _checked(previous, state, since, now=now)
    return attrs.evolve(
        status,
        protocol=item.protocol or (previous.protocol if previous.last_known is state else ""),
        reason=reason,
        gap=meaning is StatusClass.GAP,
    )


def _goes_on(
    previous: InputStatus, item: StatusItem, state: InputState, began: datetime | None
) -> bool:
    """Is this the presence or absence that was seen before, though its item may be a newer one?"""
    if previous.last_known is not state:
        return False
    if began is None:
        # Without a time of its own it began when it was first seen.
        return True
    if state is InputState.CONNECTED:
        return False
    given_up = previous.gap and previous.state is InputState.DISCONNECTED
    return item.word in FURTHER_ATTEMPTS or (given_up and item.word in STATUS_WORDS_DOWN)


def _quiet_since(item: StatusItem, server_now: datetime) -> datetime | None:
    if item.last_seen is None or server_now - item.last_seen <= HEARTBEAT_LIMIT:
        return None
    return item.last_seen


def _checked(
    previous: InputStatus, state: InputState, since: datetime | None, *, now: datetime
) -> InputStatus:
    if (
        since is not None
        and previous.since is not None
        and previous.last_known is state
        and abs(since - previous.since) < SMALLEST_SKEW
    ):
        since = previous.since
    return InputStatus(
        state=state,
        last_known=state,
        since=since,
        checked_at=now,
        next_check_in=previous.next_check_in,
    )


def unknown_status(previous: InputStatus, sentence: str) -> InputStatus:
    """The status after a check that failed: what was known stays known, as the last known."""
    return attrs.evolve(previous, state=InputState.UNKNOWN, checking_failed=sentence)


def missing_status(now: datetime, sentence: str) -> InputStatus:
    """The status once Cloudflare is certain that the input is gone: nobody can be in it."""
    return InputStatus(
        state=InputState.DISCONNECTED,
        last_known=InputState.DISCONNECTED,
        since=now,
        checked_at=now,
        reason=sentence,
    )
