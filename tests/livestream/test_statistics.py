"""Numbers of a stream: what counts, what does not, and that a restart counts on."""

from datetime import UTC, datetime, timedelta

import pytest

from streampai.events import (
    Author,
    ChatMessageReceived,
    FollowReceived,
    Money,
    PlatformEvent,
    RaidReceived,
    SubscriptionKind,
    SubscriptionReceived,
    SupportReceived,
    ViewersCounted,
)
from streampai.livestream.statistics import Statistics

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANNA = Author(id="1", name="Anna")
BEN = Author(id="2", name="Ben")


def common(number: int, platform: str = "twitch", at: datetime = NOW) -> dict:
    return {
        "id": f"{platform}:{number}",
        "platform": platform,
        "user_id": 1,
        "occurred_at": at,
        "received_at": at,
    }


def message(
    number: int, author: Author, platform: str = "twitch", at: datetime = NOW
) -> ChatMessageReceived:
    return ChatMessageReceived(
        **common(number, platform, at), message_id=str(number), author=author, text="hi"
    )


def counted(*events: PlatformEvent) -> Statistics:
    statistics = Statistics("show", NOW)
    for event in events:
        statistics.add(event)
    return statistics


def test_messages_and_distinct_chatters_are_counted() -> None:
    total = counted(message(1, ANNA), message(2, ANNA), message(3, BEN)).total(NOW)
    assert (total["messages"], total["chatters"]) == (3, 2)


def test_a_gift_of_five_counts_five_and_its_recipients_count_nothing() -> None:
    gift = SubscriptionReceived(
        **common(1), kind=SubscriptionKind.GIFT, author=ANNA, count=5, tier="1000"
    )
    received = [
        SubscriptionReceived(**common(n), kind=SubscriptionKind.GIFT_RECEIVED, author=BEN)
        for n in range(2, 7)
    ]
    total = counted(gift, *received).total(NOW)
    assert (total["gifted"], total["subscriptions"]) == (5, 0)


@pytest.mark.parametrize("kind", [SubscriptionKind.NEW, SubscriptionKind.RENEWAL])
def test_a_new_subscription_and_a_renewal_count_once(kind: SubscriptionKind) -> None:
    total = counted(SubscriptionReceived(**common(1), kind=kind, author=ANNA)).total(NOW)
    assert total["subscriptions"] == 1


def test_money_is_summed_by_currency_and_units_by_their_own_word() -> None:
    total = counted(
        SupportReceived(**common(1), author=ANNA, unit="bits", amount=500),
        SupportReceived(
            **common(2, "youtube"),
            author=BEN,
            unit="super_chat",
            amount=1,
            money=Money(minor_units=499, currency="USD"),
        ),
        SupportReceived(
            **common(3, "youtube"),
            author=BEN,
            unit="super_chat",
            amount=1,
            money=Money(minor_units=1, currency="USD"),
        ),
    ).total(NOW)
    assert total["support"] == {"USD": 500}
    assert total["units"] == {"bits": 500, "super_chat": 2}


def test_viewers_are_unknown_until_a_platform_tells() -> None:
    assert counted(FollowReceived(**common(1), author=ANNA)).total(NOW)["viewers_now"] is None


def test_the_total_of_viewers_sums_platforms_and_is_as_old_as_its_oldest_part() -> None:
    later = NOW + timedelta(seconds=30)
    total = counted(
        ViewersCounted(**common(1, "twitch", NOW), viewers=10),
        ViewersCounted(**common(2, "kick", later), viewers=5),
    ).total(later)
    assert (total["viewers_now"], total["viewers_at"]) == (15, NOW)


def test_the_peak_of_the_total_is_a_peak_of_sums_not_a_sum_of_peaks() -> None:
    total = counted(
        ViewersCounted(**common(1, "twitch"), viewers=100),
        ViewersCounted(**common(2, "kick"), viewers=1),
        ViewersCounted(**common(3, "twitch"), viewers=10),
        ViewersCounted(**common(4, "kick"), viewers=50),
    ).total(NOW)
    assert total["viewers_peak"] == 101


def test_the_rate_counts_the_last_minute_only() -> None:
    statistics = counted(
        message(1, ANNA, at=NOW - timedelta(seconds=61)),
        message(2, ANNA, at=NOW - timedelta(seconds=59)),
        message(3, ANNA, at=NOW),
    )
    assert statistics.total(NOW)["messages_per_minute"] == 2


def test_a_raid_counts_itself_and_its_raiders() -> None:
    total = counted(RaidReceived(**common(1), author=ANNA, viewers=42)).total(NOW)
    assert (total["raids"], total["raiders"]) == (1, 42)


def test_dumped_statistics_load_to_the_same_numbers_and_the_sequence_they_reach() -> None:
    statistics = counted(
        message(1, ANNA),
        ViewersCounted(**common(2), viewers=7),
        SupportReceived(**common(3), author=BEN, unit="bits", amount=5),
    )
    loaded, sequence = Statistics.load(statistics.dump(17), "show", NOW)
    before, after = statistics.as_dict(NOW), loaded.as_dict(NOW)
    # Who watches now is not carried over: it would be a number without an age.
    for numbers in (before["total"], after["total"], *before["platforms"].values()):
        numbers.pop("viewers_now", None), numbers.pop("viewers_at", None)
    for numbers in after["platforms"].values():
        numbers.pop("viewers_now", None), numbers.pop("viewers_at", None)
    for numbers in (before, after):
        for part in (numbers["total"], *numbers["platforms"].values()):
            part.pop("messages_per_minute")
    assert sequence == 17
    assert after == before
    loaded.add(message(9, ANNA))
    assert loaded.total(NOW)["chatters"] == 1
