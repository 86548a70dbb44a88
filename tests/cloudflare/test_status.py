from datetime import UTC, datetime, timedelta

import attrs
import pytest

from streampai.cloudflare.models import InputState, InputStatus, StatusClass, StatusItem
from streampai.cloudflare.status import classify, missing_status, next_status, unknown_status

NOW = datetime(2026, 1, 2, 3, 10, tzinfo=UTC)
UNKNOWN, IN, OUT = InputState.UNKNOWN, InputState.CONNECTED, InputState.DISCONNECTED


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def item(word: str, entered: float | None = 10, seen: float | None = 1) -> StatusItem:
    return StatusItem(
        word=word,
        protocol="rtmp",
        reason="why",
        entered_at=None if entered is None else ago(entered),
        last_seen=None if seen is None else ago(seen),
    )


def known(state: InputState, since: float, **more: object) -> InputStatus:
    return attrs.evolve(
        InputStatus(state=state, last_known=state, since=ago(since), checked_at=ago(15)), **more
    )


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        (None, StatusClass.NEVER),
        ("connected", StatusClass.LIVE),
        ("reconnected", StatusClass.LIVE),
        ("live", StatusClass.LIVE),
        ("reconnecting", StatusClass.GAP),
        ("new_configuration_accepted", StatusClass.NO_EVIDENCE),
        ("disconnected", StatusClass.DOWN),
        ("client_disconnect", StatusClass.DOWN),
        ("ttl_exceeded", StatusClass.DOWN),
        ("failed_to_connect", StatusClass.DOWN),
        ("failed_to_reconnect", StatusClass.DOWN),
        ("errored", StatusClass.DOWN),
        ("Connected", StatusClass.NO_EVIDENCE),
        ("something_new", StatusClass.NO_EVIDENCE),
    ],
)
def test_each_word_is_evidence_of_its_class(word: str | None, meaning: StatusClass) -> None:
    assert classify(word) is meaning


@pytest.mark.parametrize(
    ("found", "state", "gap", "since"),
    [
        (None, OUT, False, None),
        (item("connected"), IN, False, 10),
        (item("connected", entered=None), IN, False, 0),
        (item("connected", seen=None), IN, False, 10),
        (item("connected", entered=500, seen=89), IN, False, 500),
        (item("connected", entered=500, seen=91), OUT, True, 91),
        (item("reconnecting"), OUT, True, 10),
        (item("disconnected", entered=40, seen=300), OUT, False, 40),
        (item("disconnected", entered=-40), OUT, False, 0),
    ],
)
def test_a_first_answer_tells_state_and_since(
    found: StatusItem | None, state: InputState, gap: bool, since: float | None
) -> None:
    status = next_status(InputStatus(), found, now=NOW, server_date=None)
    assert (status.state, status.last_known, status.gap) == (state, state, gap)
    assert status.since == (None if since is None else ago(since))
    assert (status.checked_at, status.checking_failed) == (NOW, "")


@pytest.mark.parametrize("skew", [-1000, -5, 5, 1000])
def test_since_is_told_in_this_machines_time(skew: float) -> None:
    ahead = timedelta(seconds=skew)
    found = attrs.evolve(item("disconnected"), entered_at=ago(30) + ahead)
    status = next_status(InputStatus(), found, now=NOW, server_date=NOW + ahead)
    assert status.since == ago(30)


def test_a_heartbeat_is_judged_by_cloudflares_clock() -> None:
    found = item("connected", entered=500, seen=95)
    status = next_status(InputStatus(), found, now=NOW, server_date=ago(60))
    assert status.state is IN


def test_small_differences_of_the_clocks_do_not_move_since() -> None:
    before = next_status(InputStatus(), item("connected"), now=NOW, server_date=NOW)
    shaken = attrs.evolve(item("connected"), entered_at=ago(11))
    after = next_status(before, shaken, now=NOW, server_date=ago(1))
    assert after.since == before.since


@pytest.mark.parametrize("word", ["new_configuration_accepted", "something_new"])
@pytest.mark.parametrize(
    ("before", "state"),
    [
        (InputStatus(), UNKNOWN),
        (known(IN, 100), IN),
        (known(OUT, 100, gap=True), OUT),
        (unknown_status(known(IN, 100), "Cloudflare is silent."), IN),
    ],
)
def test_a_word_without_evidence_keeps_what_was_known(
    word: str, before: InputStatus, state: InputState
) -> None:
    after = next_status(before, item(word), now=NOW, server_date=None)
    assert (after.state, after.since, after.gap) == (state, before.since, before.gap)
    assert after.checking_failed == ""


@pytest.mark.parametrize("before", [InputStatus(), known(IN, 100), known(OUT, 100, gap=True)])
def test_a_failed_check_makes_it_unknown_and_keeps_the_last_known(before: InputStatus) -> None:
    after = unknown_status(unknown_status(before, "Once."), "Twice.")
    assert after == attrs.evolve(before, state=UNKNOWN, checking_failed="Twice.")


@pytest.mark.parametrize(
    ("before", "found", "since"),
    [
        # Attempts without video go on with an absence; a real presence in between does not.
        (known(OUT, 200), item("reconnecting"), 200),
        (known(OUT, 200), item("failed_to_connect"), 200),
        (known(OUT, 200), item("errored"), 200),
        (known(OUT, 200), item("disconnected"), 10),
        (known(OUT, 200, gap=True), item("disconnected"), 200),
        (known(OUT, 200, gap=True), item("failed_to_reconnect"), 200),
        (known(OUT, 200), item("disconnected", entered=None), 200),
        (known(IN, 200), item("disconnected"), 10),
        (known(IN, 200), item("connected"), 10),
        (known(IN, 200), item("connected", entered=None), 200),
        (known(IN, 200), item("disconnected", entered=None), 0),
        (unknown_status(known(OUT, 200, gap=True), "?"), item("disconnected"), 10),
        (unknown_status(known(IN, 200), "?"), item("connected", entered=None), 200),
    ],
)
def test_since_is_when_the_presence_or_absence_began(
    before: InputStatus, found: StatusItem, since: float
) -> None:
    assert next_status(before, found, now=NOW, server_date=None).since == ago(since)


def test_an_error_of_the_stream_is_shown() -> None:
    status = next_status(InputStatus(), item("errored"), now=NOW, server_date=None)
    assert (status.state, "error" in status.reason, "why" in status.reason) == (OUT, True, True)


def test_the_protocol_is_remembered_while_the_encoder_stays() -> None:
    plain = StatusItem(word="connected")
    before = next_status(InputStatus(), item("connected"), now=NOW, server_date=None)
    after = next_status(before, plain, now=NOW, server_date=None)
    assert (before.protocol, after.protocol) == ("rtmp", "rtmp")
    assert next_status(after, None, now=NOW, server_date=None).protocol == ""


def test_a_missing_input_has_no_encoder() -> None:
    status = missing_status(NOW, "Gone.")
    assert (status.state, status.last_known, status.reason) == (OUT, OUT, "Gone.")
