import orjson
import pytest

from streampai.runtime import Publication
from streampai.web import wire
from streampai.web.wire import CLOSE_REASONS, ErrorReply, ProtocolViolation, Request


@pytest.mark.parametrize(
    "frame",
    [
        '{"connect":{},"id":1}',
        b'{"connect":{},"id":1}',
        '{"id":1,"connect":{}}\n',
        '{"id":1,"connect":{},"something_new":{"a":1}}',
    ],
)
def test_a_command_is_read_whatever_the_order_of_its_keys(frame: str | bytes) -> None:
    assert wire.decode(frame) == [Request(1, "connect", {})]


def test_a_frame_may_hold_several_commands_and_pongs() -> None:
    frame = '{"id":1,"connect":{}}\n{}\n{"id":2,"rpc":{"method":"x"}}\n{"send":{"data":1}}'
    assert [request.name for request in wire.decode(frame)] == ["connect", "pong", "rpc", "send"]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"",
        "\n",
        "x",
        "[]",
        "1",
        "null",
        '"connect"',
        '{"id":1,"connect":{}}\n\n{}',
        '{"id":1,"connect":{}}\n\n',
        '{"id":1}',
        '{"id":1,"ping":{}}',
        '{"id":1,"connect":{},"rpc":{}}',
        '{"id":1,"connect":[]}',
        '{"id":1,"connect":null}',
        '{"connect":{}}',
        '{"id":0,"connect":{}}',
        '{"id":-1,"connect":{}}',
        '{"id":4294967296,"connect":{}}',
        '{"id":"1","connect":{}}',
        '{"id":true,"connect":{}}',
        '{"id":1.0,"connect":{}}',
        '{"id":1,"send":{}}',
        b"\xff\xfe",
        b'{"id":1,"connect":{"token":"\xff"}}',
        "{" * 5_000,
        '{"id":1,"connect":' + "[" * 5_000,
    ],
)
def test_what_breaks_the_protocol_is_told_apart(frame: str | bytes) -> None:
    with pytest.raises(ProtocolViolation):
        wire.decode(frame)


def test_a_lone_surrogate_breaks_the_protocol_and_nothing_else() -> None:
    with pytest.raises(ProtocolViolation):
        wire.decode('{"id":1,"rpc":{"method":"\ud800"}}')


@pytest.mark.parametrize("channel", ["x" * 256, "ü"])
def test_a_channel_that_cannot_exist_is_a_bad_request(channel: str) -> None:
    with pytest.raises(ErrorReply) as caught:
        wire.channel_of({"channel": channel})
    assert caught.value.code == 107


@pytest.mark.parametrize("body", [{}, {"channel": ""}, {"channel": 1}, {"channel": None}])
def test_a_missing_channel_breaks_the_protocol(body: dict[str, object]) -> None:
    with pytest.raises(ProtocolViolation):
        wire.channel_of(body)


@pytest.mark.parametrize("value", ["1", 1.0, True, [1]])
def test_a_field_of_another_type_is_a_bad_request(value: object) -> None:
    with pytest.raises(ErrorReply) as caught:
        wire.field({"offset": value}, "offset", 0)
    assert caught.value.code == 107


def test_a_field_that_is_missing_or_null_has_its_default() -> None:
    assert wire.field({}, "offset", 0) == wire.field({"offset": None}, "offset", 0) == 0


def test_a_publication_is_encoded_once_and_its_data_taken_as_it_is() -> None:
    publication = Publication("platform:twitch:1", 7, b'{"text":"a\\nb"}')
    message = wire.encode_publication(publication)
    assert wire.encode_publication(publication) is message is publication.frame
    assert orjson.loads(message) == {
        "push": {
            "channel": "platform:twitch:1",
            "pub": {"data": {"text": "a\nb"}, "offset": 7},
        }
    }
    assert b"\n" not in message


def test_an_empty_result_is_there_all_the_same() -> None:
    assert wire.encode_reply(Request(4, "unsubscribe", {}), {}) == b'{"id":4,"unsubscribe":{}}'


def test_errors_have_a_message_and_say_when_they_are_temporary() -> None:
    request = Request(1, "rpc", {})
    assert orjson.loads(wire.encode_error(request, ErrorReply(103))) == {
        "id": 1,
        "error": {"code": 103, "message": "permission denied"},
    }
    assert orjson.loads(wire.encode_error(request, ErrorReply(111)))["error"]["temporary"] is True


def test_no_close_reason_could_be_misread_by_a_client() -> None:
    for reason in CLOSE_REASONS.values():
        assert reason and len(reason.encode()) <= 123
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(reason)
