import io
import json
import logging
import os
import socket

import pytest

from streampai.settings import TelemetrySettings
from streampai.telemetry import Telemetry, events
from streampai.telemetry.log import Damper, LogListener, configure_logging


class FakeClock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def telemetry(stream):
    """A bus whose lines, from info on, land in ``stream`` as JSON; logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    configure_logging(
        TelemetrySettings(log_format="json", log_level="info", loop_stall=5.0), stream
    )
    bus = Telemetry()
    bus.clock = FakeClock()
    LogListener(bus, clock=bus.clock)
    yield bus
    root.handlers, root.level = handlers, level
    root.setLevel(level)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def call(status):
    return events.ApiCallFinished(
        service="cloudflare", operation="list", status=status, duration=0.1
    )


def monitor(status, user_id=1, reason=""):
    return events.MonitorStateChanged(
        user_id=user_id, platform="twitch", status=status, reason=reason
    )


def test_a_line_has_the_events_name_and_fields(telemetry, stream):
    telemetry.emit(events.StreamStateChanged(user_id=42, old="ready", new="streaming", reason=""))
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "event": "livestream_manager.stream.state_changed",
        "user_id": 42,
        "old": "ready",
        "new": "streaming",
    }


def test_a_monitor_that_keeps_failing_is_told_once_on_loss_and_once_on_return(telemetry, stream):
    for status in ("connecting", "connected", "waiting", "connecting", "waiting", "connecting"):
        telemetry.emit(monitor(status, reason="closed by the far side"))
    telemetry.emit(monitor("connected"))
    told = [(line["level"], line["status"]) for line in lines(stream)]
    assert told == [("info", "connected"), ("warning", "waiting"), ("info", "connected")]


def test_a_monitor_that_never_connected_is_told_once(telemetry, stream):
    for _ in range(5):
        telemetry.emit(monitor("connecting"))
        telemetry.emit(monitor("waiting"))
    assert [line["status"] for line in lines(stream)] == ["waiting"]


def test_a_needed_log_in_is_told_even_after_a_loss(telemetry, stream):
    telemetry.emit(monitor("waiting"))
    telemetry.emit(monitor("relogin_needed"))
    assert [line["status"] for line in lines(stream)] == ["waiting", "relogin_needed"]


def test_a_stopped_monitor_starts_afresh(telemetry, stream):
    for status in ("connected", "stopped", "connected"):
        telemetry.emit(monitor(status))
    assert [line["status"] for line in lines(stream)] == ["connected", "connected"]


def test_a_users_monitors_are_forgotten_when_the_user_leaves(telemetry, stream):
    telemetry.emit(monitor("connected"))
    telemetry.emit(events.UserSessionEnded(user_id=1, reason="logged out", duration=1.0))
    telemetry.emit(monitor("connected"))
    assert [line.get("status") for line in lines(stream)] == ["connected", None, "connected"]


def test_a_single_failed_call_is_no_line(telemetry, stream):
    for status in (200, 502, 0, 200, 503, 200):
        telemetry.emit(call(status))
    assert lines(stream) == []


def test_a_lost_service_is_told_once_and_its_return_once(telemetry, stream):
    for status in (502, 0, 0, 503, 0, 404, 200):
        telemetry.emit(call(status))
    lost, back = lines(stream)
    assert (lost["level"], lost["lost"]) == ("warning", "cloudflare")
    # A 404 is an answer: the service is there.
    assert (back["level"], back["back"], back["failed_calls"]) == ("info", "cloudflare", 5)


def test_storage_is_told_once_on_loss_and_once_on_return(telemetry, stream):
    written = events.StorageWritten(writes=3, duration=0.001)
    failed = events.StorageFailed(reason="disk full")
    for event in (written, failed, failed, written, written):
        telemetry.emit(event)
    assert [(line["level"], line.get("lost"), line.get("back")) for line in lines(stream)] == [
        ("error", "storage", None),
        ("info", None, "storage"),
    ]


def test_processed_events_and_duplicates_and_commits_are_no_lines(telemetry, stream):
    for _ in range(10):
        telemetry.emit(
            events.PlatformEventProcessed(user_id=1, platform="twitch", kind="chat", latency=0.0)
        )
        telemetry.emit(
            events.PlatformEventDropped(user_id=1, platform="twitch", reason="duplicate")
        )
        telemetry.emit(events.StorageWritten(writes=1, duration=0.001))
    assert stream.getvalue() == ""


def test_a_renewed_token_is_no_line_and_a_refused_one_is(telemetry, stream):
    for outcome in ("renewed", "refused"):
        telemetry.emit(events.TokenRefreshed(user_id=1, platform="twitch", outcome=outcome))
    assert [(line["level"], line["outcome"]) for line in lines(stream)] == [("warning", "refused")]


def test_a_crash_loop_is_a_few_lines_a_minute_that_tell_how_many_were_held_back(telemetry, stream):
    crash = events.SupervisorReported(
        supervisor="user_stream_manager/1", child="stream_state/1", what="exited", reason="KeyError"
    )
    for _ in range(100):
        telemetry.emit(crash)
    assert len(lines(stream)) == 5
    telemetry.clock.now += 60.0
    telemetry.emit(crash)
    assert lines(stream)[-1]["held_back"] == 95


def test_a_budget_that_bit_is_told_with_whose_it_was_and_for_how_long(telemetry, stream):
    for what, delay in (("limit_reached", None), ("delayed", 60.0)):
        telemetry.emit(
            events.SupervisorReported(
                supervisor="s/1", child="c/1", what=what, reason="KeyError", delay=delay
            )
        )
    reached, delayed = lines(stream)
    assert (reached["level"], reached["supervisor"], reached["child"]) == ("error", "s/1", "c/1")
    assert "delay" not in reached
    assert (delayed["level"], delayed["delay"]) == ("warning", 60.0)


def test_another_childs_crash_is_told_beside_a_crash_loop(telemetry, stream):
    for _ in range(20):
        telemetry.emit(
            events.SupervisorReported(supervisor="s", child="a/1", what="exited", reason="boom")
        )
    telemetry.emit(
        events.SupervisorReported(supervisor="s", child="b/2", what="exited", reason="boom")
    )
    assert lines(stream)[-1]["child"] == "b/2"


def test_ordinary_starts_and_ends_of_children_are_no_lines(telemetry, stream):
    for what, reason in (("started", ""), ("exited", "normal"), ("exited", "shutdown")):
        telemetry.emit(
            events.SupervisorReported(supervisor="s", child="c", what=what, reason=reason)
        )
    assert lines(stream) == []


def test_a_lag_that_people_notice_is_told(telemetry, stream):
    telemetry.emit(events.LoopLagMeasured(lag=0.01))
    telemetry.emit(events.LoopLagMeasured(lag=0.7))
    (line,) = lines(stream)
    assert line["lag"] == 0.7


def test_every_telemetry_event_is_decided_about():
    telemetry = Telemetry()
    LogListener(telemetry)
    all_events = {v for v in vars(events).values() if isinstance(v, type) and hasattr(v, "name")}
    # The one event per chat message, which is never a line.
    assert all_events - set(telemetry._by_class) == {events.PlatformEventProcessed}


def text_line(record_stream, **environ):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        configure_logging(
            TelemetrySettings(log_format="text", log_level="info", loop_stall=5.0),
            record_stream,
            environ=environ,
        )
        logging.getLogger("streampai").warning(
            "an.event", extra={"fields": {"user_id": 1, "reason": 'a "b"\nfake=1', "lag": 0.12345}}
        )
    finally:
        for handler in root.handlers:
            handler.flush()
        root.handlers = handlers
        root.setLevel(level)


def test_text_lines_have_time_level_event_and_quoted_values(stream):
    text_line(stream)
    time, level, rest = stream.getvalue().rstrip("\n").split(maxsplit=2)
    assert time.startswith("20") and level == "warning"
    assert rest == r'an.event user_id=1 reason="a \"b\"\nfake=1" lag=0.123'


def test_journald_gets_its_priority_and_no_time():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream:
        status = os.fstat(ours.fileno())
        text_line(stream, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
        assert theirs.recv(1000).startswith(b"<4>an.event user_id=1 ")


def test_a_stderr_that_is_not_the_journal_gets_no_priority(stream):
    text_line(stream, JOURNAL_STREAM="8:12345")
    assert not stream.getvalue().startswith("<")


def test_each_line_of_a_traceback_has_the_priority():
    from streampai.telemetry.log import TextFormatter

    try:
        raise ValueError("boom")
    except ValueError as exc:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "crashed", (), (type(exc), exc, exc.__traceback__)
        )
    text = TextFormatter(journald=True).format(record).splitlines()
    assert len(text) > 2
    assert all(line.startswith("<3>") for line in text)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_another_threads_stack_follows_its_line(kind):
    from streampai.telemetry.log import JsonFormatter, TextFormatter

    record = logging.LogRecord("x", logging.ERROR, "f", 1, "stalled", (), None)
    record.stack = 'File "a.py", line 1\n  sleep()'
    if kind == "json":
        assert json.loads(JsonFormatter().format(record))["stack"] == record.stack
    else:
        text = TextFormatter(journald=True).format(record)
        assert text == '<3>stalled\n<3>File "a.py", line 1\n<3>  sleep()'


def test_libraries_that_log_whole_urls_are_quiet(telemetry, stream):
    logging.getLogger("httpx").info("HTTP Request: GET https://x.test/?code=CANARY")
    logging.getLogger("httpcore.connection").info("connect")
    assert stream.getvalue() == ""


def test_the_damper_forgets_the_longest_unused_key_when_there_are_too_many():
    damper = Damper(burst=1, window=60.0, clock=FakeClock())
    assert damper.allow("first") == 0
    assert damper.allow("first") is None
    for key in range(Damper.KEYS):
        damper.allow(key)
    assert damper.allow("first") == 0
    assert len(damper._seen) == Damper.KEYS
