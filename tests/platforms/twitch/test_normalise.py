"""What each of Twitch's payloads becomes. The files hold both sides."""

import json
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from streampai.errors import BadRequest
from streampai.events import encode_event
from streampai.platforms.fields import Fields
from streampai.platforms.twitch.models import Notification, Unreadable
from streampai.platforms.twitch.normalise import normalise
from streampai.platforms.twitch.subscriptions import WANTED

PAYLOADS = sorted((Path(__file__).parent / "payloads").glob("*.json"))
SENT_AT = datetime(2026, 4, 2, 18, 0, 0, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 4, 2, 18, 0, 1, tzinfo=UTC)
COMMON = {
    "platform": "twitch",
    "user_id": 42,
    "occurred_at": "2026-04-02T18:00:00.000Z",
    "received_at": "2026-04-02T18:00:01.000Z",
}


def notification(kind: str, event: object, version: str = "1") -> Notification:
    return Notification(
        message_id="e0000000-0000-4000-8000-000000000001",
        sent_at=SENT_AT,
        type=kind,
        version=version,
        event=Fields(kind, event),
    )


def becomes(kind: str, event: object) -> list[dict[str, object]]:
    events = normalise(notification(kind, event), user_id=42, received_at=RECEIVED_AT)
    return [orjson.loads(encode_event(event)) for event in events]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_a_payload_becomes_what_its_file_says(path: Path) -> None:
    case = json.loads(path.read_text())
    expected = [{**COMMON, **event} for event in case["becomes"]]
    assert becomes(case["type"], case["event"]) == expected


def test_every_subscribed_type_has_a_payload_with_its_version() -> None:
    cases = [json.loads(path.read_text()) for path in PAYLOADS]
    told = {(case["type"], case["version"]) for case in cases if case["becomes"]}
    assert {(wanted.type, wanted.version) for wanted in WANTED} == told


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_whatever_is_taken_from_a_payload_it_is_read_or_refused_as_unreadable(path: Path) -> None:
    case = json.loads(path.read_text())
    for key in case["event"]:
        for value in (None, 5, "", [], {}, [1], {"id": 1}, True):
            try:
                becomes(case["type"], {**case["event"], key: value})
            except BadRequest as exc:
                assert exc.message.startswith(case["type"])


def test_a_needed_field_that_is_missing_is_named_without_quoting_the_payload() -> None:
    event = json.loads(PAYLOADS[0].with_name("chat_message.json").read_text())["event"]
    del event["message_id"]
    with pytest.raises(BadRequest) as refusal:
        becomes("channel.chat.message", event)
    assert refusal.value.message == "channel.chat.message.message_id is missing"


def test_an_unreadable_frame_is_refused_with_its_reason() -> None:
    with pytest.raises(BadRequest, match="frame is not JSON"):
        normalise(Unreadable(reason="frame is not JSON"), user_id=42, received_at=RECEIVED_AT)
