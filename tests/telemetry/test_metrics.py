import pytest
from prometheus_client.parser import text_string_to_metric_families

from streampai.telemetry import Telemetry, events
from streampai.telemetry.metrics import Metrics


class Scraped:
    """A bus with metrics, and look-ups in what a scrape would read."""

    def __init__(self):
        self.bus = Telemetry()
        self.metrics = Metrics(self.bus)

    def emit(self, *what):
        for event in what:
            self.bus.emit(event)

    def samples(self):
        text = self.metrics.render().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __getitem__(self, key):
        name, labels = key
        return self.samples()[f"streampai_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def scraped():
    return Scraped()


def started(user_id):
    return events.UserSessionStarted(user_id=user_id, duration=0.01)


def ended(user_id):
    return events.UserSessionEnded(user_id=user_id, reason="idle", duration=9.0)


def chat(platform="twitch", kind="chat_message_received", latency=0.002):
    return events.PlatformEventProcessed(user_id=1, platform=platform, kind=kind, latency=latency)


def test_users_are_counted_by_the_state_of_their_stream(scraped):
    scraped.emit(started(1), started(2), started(3))
    for user_id, new in ((2, "ready"), (3, "ready"), (3, "streaming")):
        scraped.emit(events.StreamStateChanged(user_id=user_id, old="offline", new=new, reason=""))
    assert scraped["user_sessions", {}] == 3
    assert [
        scraped["users", {"state": s}] for s in ("offline", "ready", "streaming", "ending")
    ] == [
        1,
        1,
        1,
        0,
    ]


def test_nothing_stands_of_a_user_who_left(scraped):
    scraped.emit(
        started(1),
        events.MonitorStateChanged(user_id=1, platform="twitch", status="waiting", reason=""),
        events.BreakerChanged(user_id=1, platform="twitch", old="closed", new="open"),
    )
    labels = {"platform": "twitch", "status": "waiting"}
    assert scraped["monitors", labels] == 1
    assert scraped["breakers", {"platform": "twitch", "status": "open"}] == 1
    scraped.emit(ended(1))
    names = {name for name, _ in scraped.samples()}
    assert "streampai_monitors" not in names
    assert "streampai_breakers" not in names
    assert scraped["user_sessions", {}] == 0


def test_a_monitor_is_counted_once_whatever_it_goes_through(scraped):
    for status in ("connecting", "connected", "waiting", "connecting", "connected"):
        scraped.emit(
            events.MonitorStateChanged(user_id=1, platform="twitch", status=status, reason="")
        )
    assert scraped["monitors", {"platform": "twitch", "status": "connected"}] == 1
    assert sum(v for (name, _), v in scraped.samples().items() if name == "streampai_monitors") == 1


def test_platform_events_are_counted_with_their_latency(scraped):
    scraped.emit(chat(), chat(latency=0.3), chat(kind="follow_received", latency=0.0001))
    assert (
        scraped["platform_events_total", {"platform": "twitch", "kind": "chat_message_received"}]
        == 2
    )
    name = "platform_event_latency_seconds"
    assert scraped[f"{name}_bucket", {"platform": "twitch", "le": "0.0005"}] == 1
    assert scraped[f"{name}_bucket", {"platform": "twitch", "le": "0.0025"}] == 2
    assert scraped[f"{name}_bucket", {"platform": "twitch", "le": "+Inf"}] == 3
    assert scraped[f"{name}_count", {"platform": "twitch"}] == 3
    assert scraped[f"{name}_sum", {"platform": "twitch"}] == pytest.approx(0.3021)


def test_an_event_as_long_as_a_bucket_belongs_to_it(scraped):
    scraped.emit(chat(latency=0.0025))
    name = "platform_event_latency_seconds_bucket"
    assert scraped[name, {"platform": "twitch", "le": "0.0025"}] == 1
    assert scraped[name, {"platform": "twitch", "le": "0.001"}] == 0


def test_labels_do_not_grow_without_bound(scraped):
    for number in range(500):
        scraped.emit(
            chat(kind=f"kind_{number}"),
            events.RequestRefused(user_id=None, code=f"code_{number}", where="socket"),
        )
    samples = scraped.samples()
    assert sum(1 for name, _ in samples if name == "streampai_platform_events_total") <= 65
    assert sum(1 for name, _ in samples if name == "streampai_requests_refused_total") <= 65
    kinds = {"platform": "twitch", "kind": "other"}
    assert scraped["platform_events_total", kinds] + 63 == 500


def test_children_are_counted_by_kind_never_by_user(scraped):
    for user_id in range(100):
        scraped.emit(
            events.SupervisorReported(
                supervisor=f"user_stream_manager/{user_id}",
                child=f"platform_monitor/{user_id}/twitch",
                what="restarting",
                reason="boom",
            )
        )
    assert (
        scraped["supervisor_reports_total", {"child": "platform_monitor", "what": "restarting"}]
        == 100
    )


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "2xx"), (404, "4xx"), (429, "429"), (502, "5xx"), (0, "none")]
)
def test_calls_are_counted_by_the_class_of_the_answer(scraped, status, outcome):
    scraped.emit(
        events.ApiCallFinished(service="twitch", operation="send", status=status, duration=0.2)
    )
    assert scraped["api_calls_total", {"service": "twitch", "outcome": outcome}] == 1
    assert scraped["api_call_seconds_count", {"service": "twitch", "operation": "send"}] == 1


def test_browsers_come_and_go(scraped):
    for client in "ab":
        scraped.emit(events.BrowserConnected(user_id=1, client=client))
    scraped.emit(events.BrowserDisconnected(user_id=1, client="a", code=3008, reason="slow"))
    assert scraped["websocket_clients", {}] == 1
    assert scraped["websocket_closed_total", {"code": "3008"}] == 1


def test_storage_and_lag_and_limits_are_measured(scraped):
    scraped.emit(
        events.StorageWritten(writes=40, duration=0.002),
        events.StorageFailed(reason="disk full"),
        events.LoopLagMeasured(lag=0.03),
        events.LimiterWaited(limiter="twitch_chat/7", wait=1.5),
    )
    assert scraped["storage_writes_total", {}] == 40
    assert scraped["storage_failures_total", {}] == 1
    assert scraped["loop_lag_last_seconds", {}] == 0.03
    assert scraped["loop_lag_seconds_bucket", {"le": "0.05"}] == 1
    assert scraped["limiter_wait_seconds_total", {"limiter": "twitch_chat"}] == 1.5


def test_memory_per_user_is_the_process_over_its_users(scraped):
    assert scraped["memory_per_user_bytes", {}] == 0
    scraped.emit(started(1))
    one = scraped["memory_per_user_bytes", {}]
    assert one > 1_000_000
    scraped.emit(started(2))
    assert scraped["memory_per_user_bytes", {}] < one * 0.75


def test_every_telemetry_event_but_the_start_of_a_monitor_is_measured(scraped):
    all_events = {v for v in vars(events).values() if isinstance(v, type) and hasattr(v, "name")}
    # A monitor's start is seen by what it does next: MonitorStateChanged.
    assert all_events - set(scraped.bus._by_class) == {events.MonitorStarted}


def test_two_daemons_in_one_process_have_registries_of_their_own():
    one, two = Scraped(), Scraped()
    one.emit(started(1))
    assert two["user_sessions", {}] == 0
