from datetime import UTC, datetime

import pytest

from streampai.cloudflare.envelope import UnreadableAnswer, parse_envelope
from streampai.cloudflare.models import (
    StatusItem,
    parse_input,
    parse_inputs,
    parse_output,
    parse_outputs,
    parse_status,
    parse_time,
    redacted_url,
)
from streampai.settings import Secret

AT = datetime(2026, 1, 2, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "success", "code", "message"),
    [
        (b'{"result":{"a":1},"success":true,"errors":[],"messages":[]}', True, None, ""),
        (
            b'{"result":null,"success":false,"errors":[{"code":10003,"message":"x"}]}',
            False,
            10003,
            "x",
        ),
        (b'{"result":null,"success":false,"errors":[{"message":"x"}]}', False, None, "x"),
        (b'{"result":null,"success":false,"errors":["bare"]}', False, None, "bare"),
        (
            b'{"result":null,"success":false,"errors":[{"code":"7","message":null}]}',
            False,
            None,
            "",
        ),
        (b'{"result":null,"success":false,"errors":[]}', False, None, ""),
        (b'{"result":null,"success":false}', False, None, ""),
        (b'{"result":null,"success":"true"}', False, None, ""),
        (b'{"error":"unauthorised"}', False, None, "unauthorised"),
        (b'{"errors":{"code":1001,"message":"one"}}', False, 1001, "one"),
        (b"{}", True, None, ""),
        (b"[]", True, None, ""),
    ],
)
def test_an_envelope_is_read_in_every_shape(
    body: bytes, success: bool, code: int | None, message: str
) -> None:
    envelope = parse_envelope(body)
    assert (envelope.success, envelope.code, envelope.message) == (success, code, message)


def test_a_bare_body_is_the_result_itself() -> None:
    assert parse_envelope(b'[{"uid":"1"}]').result == [{"uid": "1"}]
    assert parse_envelope(b'{"uid":"1"}').result == {"uid": "1"}
    assert parse_envelope(b'{"success":true}').result is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"error code: 1015", b'"text"', b"3", b"\xff"])
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        parse_envelope(body)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-01-02T03:10:00Z", 0),
        ("2026-01-02T03:10:00.5Z", 500_000),
        ("2026-01-02T03:10:00.12Z", 120_000),
        ("2026-01-02T03:10:00.1234Z", 123_400),
        ("2026-01-02T03:10:00.123456Z", 123_456),
        ("2026-01-02T03:10:00.123456789Z", 123_456),
        ("2026-01-02T04:10:00+01:00", 0),
        ("2026-01-02T03:10:00", 0),
    ],
)
def test_times_have_any_number_of_digits(text: str, microsecond: int) -> None:
    assert parse_time(text) == AT.replace(microsecond=microsecond)


@pytest.mark.parametrize("value", [None, "", "yesterday", 12, {}])
def test_what_is_no_time_is_none(value: object) -> None:
    assert parse_time(value) is None


ITEM = {
    "ingestProtocol": "rtmp",
    "state": "connected",
    "reason": None,
    "statusEnteredAt": "2026-01-02T03:10:00Z",
    "statusLastSeen": "2026-01-02T03:10:00.0Z",
}
PARSED = StatusItem(word="connected", protocol="rtmp", entered_at=AT, last_seen=AT)


@pytest.mark.parametrize(
    ("value", "item"),
    [
        (None, None),
        ("", None),
        ({}, None),
        ([], None),
        ({"current": None}, None),
        ({"current": None, "history": [ITEM]}, None),
        ({"current": {"state": None}}, None),
        ("connected", StatusItem(word="connected")),
        ({"current": "connected"}, StatusItem(word="connected")),
        ({"current": ITEM, "history": []}, PARSED),
        (ITEM, PARSED),
        ({"current": {"state": "odd", "statusEnteredAt": 5}}, StatusItem(word="odd")),
    ],
)
def test_a_status_is_read_in_every_shape(value: object, item: StatusItem | None) -> None:
    assert parse_status(value) == item


def test_an_input_is_read_with_and_without_its_optional_parts() -> None:
    bare, item = parse_input({"uid": "u"})
    assert (bare.uid, bare.ingest_url, bare.stream_key, bare.enabled) == ("u", "", Secret(""), True)
    assert item is None
    full, item = parse_input(
        {
            "uid": "u",
            "rtmps": {"url": "rtmps://x/live/", "streamKey": "canary"},
            "srt": {"url": "srt://x", "streamId": "canary", "passphrase": "canary"},
            "meta": {"streampai_instance": "i", "streampai_user": "7", "name": "n"},
            "status": {"current": ITEM},
            "enabled": False,
        }
    )
    assert (full.instance, full.owner, full.enabled) == ("i", "7", False)
    assert item == PARSED
    assert "canary" not in repr(full)


@pytest.mark.parametrize("value", [None, [], {}, {"uid": None}, {"uid": 3}, "u"])
def test_an_input_or_output_without_a_uid_is_unreadable(value: object) -> None:
    with pytest.raises(UnreadableAnswer):
        parse_input(value)
    with pytest.raises(UnreadableAnswer):
        parse_output(value)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"liveInputs": x, "total": 9}])
def test_a_list_of_inputs_is_an_array_or_an_object(wrap: object) -> None:
    elements = [{"uid": "a", "meta": {"streampai_user": "1"}}, {"uid": "b", "meta": None}, None]
    assert callable(wrap)
    assert [(i.uid, i.owner) for i in parse_inputs(wrap(elements))] == [("a", "1"), ("b", "")]


@pytest.mark.parametrize("value", [None, "x", {"total": 3}, {"liveInputs": None}])
def test_no_list_is_not_an_empty_list(value: object) -> None:
    with pytest.raises(UnreadableAnswer):
        parse_inputs(value)
    with pytest.raises(UnreadableAnswer):
        parse_outputs(value)


def test_an_output_has_a_state_once_it_has_pushed() -> None:
    silent, pushing = parse_outputs(
        [
            {"uid": "a", "url": "u", "streamKey": "canary", "enabled": False},
            {"uid": "b", "url": "u", "status": {"current": {"state": "connecting"}}},
        ]
    )
    assert (silent.state, silent.enabled) == (None, False)
    assert (pushing.state, pushing.enabled) == ("connecting", True)
    assert "canary" not in repr(silent)


def test_a_list_of_outputs_with_a_hole_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer):
        parse_outputs([{"uid": "a"}, {"url": "u"}])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmps://host:443/app", "rtmps://host:443/app"),
        ("rtmp://me:pw@host/app/KEY", "rtmp://host/app/…"),
        ("srt://host:9?streamid=KEY&passphrase=p", "srt://host:9"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert redacted_url(url, Secret("KEY")) == shown
