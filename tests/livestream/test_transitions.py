"""The four states and what leads from one to the next, as tables."""

import pytest

from streampai.cloudflare.models import InputState
from streampai.errors import CommandRefused
from streampai.livestream import transitions
from streampai.livestream.transitions import StreamStatus

OFFLINE, READY, STREAMING, ENDING = StreamStatus
IN, OUT, UNKNOWN = InputState.CONNECTED, InputState.DISCONNECTED, InputState.UNKNOWN


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        (OFFLINE, IN, READY),
        (OFFLINE, OUT, OFFLINE),
        (OFFLINE, UNKNOWN, OFFLINE),
        (READY, IN, READY),
        (READY, OUT, OFFLINE),
        (READY, UNKNOWN, READY),
        (STREAMING, IN, STREAMING),
        (STREAMING, OUT, STREAMING),
        (STREAMING, UNKNOWN, STREAMING),
        (ENDING, IN, ENDING),
        (ENDING, OUT, ENDING),
        (ENDING, UNKNOWN, ENDING),
    ],
)
def test_the_encoder_moves_a_stream_between_offline_and_ready_only(
    status: StreamStatus, state: InputState, expected: StreamStatus
) -> None:
    assert transitions.follow_input(status, state) is expected


@pytest.mark.parametrize(
    ("last_known", "expected"), [(IN, READY), (OUT, OFFLINE), (UNKNOWN, OFFLINE)]
)
def test_a_completed_clean_up_leads_to_where_the_encoder_is(
    last_known: InputState, expected: StreamStatus
) -> None:
    assert transitions.after_ending(last_known) is expected


FACTS = {
    "status": READY,
    "state": IN,
    "starting": False,
    "protocol": "rtmp",
    "platforms": ("twitch",),
    "known": {"twitch", "kick"},
    "connected": {"twitch"},
    "relogin": set(),
    "max_platforms": 2,
}


def start(**changes: object) -> None:
    facts = {**FACTS, **changes}
    transitions.start(facts.pop("status"), facts.pop("state"), **facts)


def test_a_ready_stream_may_start() -> None:
    start()


@pytest.mark.parametrize("state", [UNKNOWN, OUT])
def test_a_ready_stream_may_start_though_the_input_is_just_being_asked(state: InputState) -> None:
    start(state=state)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": OFFLINE, "state": OUT}, "encoder_not_connected"),
        ({"status": OFFLINE, "state": UNKNOWN}, "input_unknown"),
        ({"status": STREAMING}, "already_streaming"),
        ({"starting": True}, "already_streaming"),
        ({"status": ENDING}, "ending"),
        ({"platforms": ()}, "no_platform_selected"),
        ({"platforms": ("twitch", "kick", "x")}, "too_many_platforms"),
        ({"platforms": ("myspace",)}, "unknown_platform"),
        ({"platforms": ("kick",)}, "platform_not_connected"),
        ({"relogin": {"twitch"}}, "token_expired"),
        ({"protocol": "webrtc"}, "webrtc_not_supported"),
    ],
)
def test_start_is_refused_with_a_code_of_its_own_for_each_cause(
    changes: dict[str, object], code: str
) -> None:
    with pytest.raises(CommandRefused) as caught:
        start(**changes)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "starting", "expected"),
    [
        (OFFLINE, False, False),
        (READY, False, False),
        (READY, True, True),
        (STREAMING, False, True),
        (ENDING, False, False),
    ],
)
def test_stop_is_idempotent(status: StreamStatus, starting: bool, expected: bool) -> None:
    assert transitions.stop(status, starting=starting) is expected


def test_destinations_are_not_changed_while_the_stream_is_being_ended() -> None:
    with pytest.raises(CommandRefused) as caught:
        transitions.change_destination(ENDING)
    assert caught.value.code == "ending"


@pytest.mark.parametrize(
    ("status", "code"), [(ENDING, "ending"), (READY, "not_streaming"), (OFFLINE, "not_streaming")]
)
def test_only_a_running_show_has_a_destination_to_retry(status: StreamStatus, code: str) -> None:
    with pytest.raises(CommandRefused) as caught:
        transitions.retry_destination(status)
    assert caught.value.code == code
