"""Topics: conformance section 6, and what recovery (B6, B7) rests on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streampai.runtime import (
    Dropped,
    Mailbox,
    MailboxClosed,
    Position,
    Publication,
    PubSub,
)


def inbox(capacity=100):
    return Mailbox[object](capacity)


async def contents(mailbox):
    return [item.data for item in await mailbox.take()] if mailbox.depth else []


@pytest.mark.row("P2")
async def test_each_subscriber_gets_one_copy(autojump_clock):
    pubsub = PubSub()
    boxes = [inbox() for _ in range(3)]
    for box in boxes:
        pubsub.subscribe("t", box)
    pubsub.publish("t", b"1")
    pubsub.publish("t", b"2")
    for box in boxes:
        assert await contents(box) == [b"1", b"2"]


@pytest.mark.row("P8")
async def test_all_copies_are_the_same_object(autojump_clock):
    pubsub = PubSub()
    a, b = inbox(), inbox()
    pubsub.subscribe("t", a)
    pubsub.subscribe("t", b)
    pubsub.publish("t", b"x")
    (first,), (second,) = await a.take(), await b.take()
    assert first is second is pubsub.history("t")[0]
    assert (first.topic, first.offset, first.data, first.frame) == ("t", 1, b"x", None)
    first.frame = b"encoded once"


@pytest.mark.row("P2")
async def test_subscribing_twice_gives_two_copies():
    pubsub = PubSub()
    box = inbox()
    one, _two = pubsub.subscribe("t", box), pubsub.subscribe("t", box)
    pubsub.publish("t", b"x")
    assert await contents(box) == [b"x", b"x"]
    one.unsubscribe()
    pubsub.publish("t", b"y")
    assert await contents(box) == [b"y"]


@pytest.mark.row("P1", "P5")
async def test_the_set_of_subscribers_is_exact():
    pubsub = PubSub()
    a, b = inbox(), inbox()
    assert pubsub.subscribers("t") == 0
    sa = pubsub.subscribe("t", a, metadata="A")
    sb = pubsub.subscribe("t", b, metadata="B")
    assert pubsub.subscribers("t") == 2
    assert [(s.mailbox, s.metadata) for s in pubsub.subscriptions("t")] == [(a, "A"), (b, "B")]
    sa.unsubscribe()
    sa.unsubscribe()
    assert not sa.active and sb.active
    assert pubsub.subscriptions("t") == (sb,)
    pubsub.publish("t", b"x")
    assert await contents(a) == [] and await contents(b) == [b"x"]


@pytest.mark.row("P3")
async def test_topics_do_not_mix():
    pubsub = PubSub()
    boxes = {name: inbox() for name in ("a", "b", "a:b", "")}
    for name, box in boxes.items():
        pubsub.subscribe(name, box)
    pubsub.publish("a", b"for a")
    pubsub.publish("other", b"for nobody")
    assert await contents(boxes["a"]) == [b"for a"]
    for name in ("b", "a:b", ""):
        assert boxes[name].depth == 0


@pytest.mark.row("P4")
async def test_the_sender_can_be_left_out():
    pubsub = PubSub()
    a, b, c = inbox(), inbox(), inbox()
    subscription = pubsub.subscribe("t", a)
    pubsub.subscribe("t", b)
    pubsub.subscribe("t", c)
    pubsub.publish("t", b"1", exclude=subscription)
    pubsub.publish("t", b"2", exclude=b)
    assert await contents(a) == [b"2"]
    assert await contents(b) == [b"1"]
    assert await contents(c) == [b"1", b"2"]
    assert [p.data for p in pubsub.history("t")] == [b"1", b"2"]


async def test_positions_count_from_one_without_holes():
    pubsub = PubSub()
    first = pubsub.publish("t", b"1")
    assert first.offset == 1 and first.epoch
    assert pubsub.publish("t", b"2") == Position(2, first.epoch) == pubsub.position("t")
    assert [p.offset for p in pubsub.history("t")] == [1, 2]
    other = pubsub.publish("u", b"1")
    assert other.offset == 1 and other.epoch != first.epoch


async def test_an_unknown_topics_position_stays_true():
    pubsub = PubSub()
    position = pubsub.position("t")
    assert position.offset == 0
    assert pubsub.position("t") == position
    assert pubsub.publish("t", b"1") == Position(1, position.epoch)


async def test_the_history_keeps_the_last_ones():
    pubsub = PubSub(history_size=3)
    for n in range(5):
        pubsub.publish("t", b"%d" % n)
    assert [(p.offset, p.data) for p in pubsub.history("t")] == [(3, b"2"), (4, b"3"), (5, b"4")]
    pubsub.open_topic("none", history_size=0)
    pubsub.publish("none", b"x")
    assert pubsub.history("none") == ()
    assert pubsub.position("none").offset == 1
    assert pubsub.history("unknown") == ()
    assert "unknown" not in pubsub.topics()


@pytest.mark.row("P10")
async def test_a_slow_subscriber_is_dropped_and_told_and_delays_nobody():
    pubsub = PubSub()
    slow, quick = inbox(2), inbox()
    pubsub.subscribe("t", slow)
    pubsub.subscribe("t", quick)
    for n in range(4):
        pubsub.publish("t", b"%d" % n)
    assert pubsub.subscribers("t") == 1
    assert await contents(quick) == [b"0", b"1", b"2", b"3"]
    # What was in is still given out: the position it reached is true.
    assert await contents(slow) == [b"0", b"1"]
    with pytest.raises(MailboxClosed) as caught:
        await slow.take()
    assert caught.value.reason == "slow"


@pytest.mark.row("P10")
async def test_a_closed_mailbox_is_dropped_without_a_fuss():
    pubsub = PubSub()
    gone, here = inbox(), inbox()
    subscription = pubsub.subscribe("t", gone)
    pubsub.subscribe("t", here)
    gone.close("left")
    pubsub.publish("t", b"x")
    assert pubsub.subscribers("t") == 1 and not subscription.active
    assert await contents(here) == [b"x"]
    subscription.unsubscribe()


async def test_several_slow_ones_at_once():
    pubsub = PubSub()
    boxes = [inbox(1) for _ in range(10)]
    for box in boxes:
        pubsub.subscribe("t", box)
    pubsub.publish("t", b"1")
    await boxes[4].take()
    pubsub.publish("t", b"2")
    assert pubsub.subscribers("t") == 1
    assert [box.closed for box in boxes] == [n != 4 for n in range(10)]


async def test_dropping_a_topic_tells_its_subscribers_and_forgets_it():
    pubsub = PubSub()
    box, full = inbox(), inbox(1)
    subscription = pubsub.subscribe("t", box)
    pubsub.subscribe("t", full)
    old = pubsub.publish("t", b"1")
    pubsub.drop_topic("t")
    assert (await box.take())[-1] == Dropped("t")
    assert full.closed
    assert not subscription.active and "t" not in pubsub.topics()
    subscription.unsubscribe()
    pubsub.drop_topic("t")
    assert pubsub.publish("t", b"2").epoch != old.epoch
    assert box.depth == 0


async def test_a_stored_life_goes_on():
    pubsub = PubSub()
    pubsub.open_topic("t", epoch="e", offset=7, publications=[(6, b"6"), (7, b"7")])
    assert pubsub.position("t") == Position(7, "e")
    assert [(p.topic, p.offset, p.data) for p in pubsub.history("t")] == [
        ("t", 6, b"6"),
        ("t", 7, b"7"),
    ]
    assert pubsub.publish("t", b"8") == Position(8, "e")


@pytest.mark.parametrize("publications", [[(5, b""), (7, b"")], [(6, b"")], [(8, b"")]])
def test_a_stored_history_with_a_hole_is_refused(publications):
    pubsub = PubSub()
    with pytest.raises(ValueError):
        pubsub.open_topic("t", epoch="e", offset=7, publications=publications)
    assert pubsub.topics() == []


async def test_opening_an_open_topic_again_keeps_what_is_newer():
    pubsub = PubSub()
    pubsub.open_topic("t", epoch="e", offset=7)
    box = inbox()
    pubsub.subscribe("t", box)
    pubsub.publish("t", b"8")
    pubsub.open_topic("t", epoch="e", offset=7)
    pubsub.open_topic("t")
    assert pubsub.position("t") == Position(8, "e")
    assert pubsub.subscribers("t") == 1 and await contents(box) == [b"8"]


async def test_opening_an_open_topic_in_another_life_tells_its_subscribers():
    pubsub = PubSub()
    for kept in (True, False):
        box = inbox()
        if kept:
            pubsub.publish("t", b"1")
        subscription = pubsub.subscribe("t", box)
        pubsub.open_topic("t", epoch=f"other {kept}", offset=3)
        assert await box.take() == [Dropped("t")]
        assert not subscription.active
        assert pubsub.position("t").offset == 3
        # Behind the store is another life too: what lies between was never seen here.
        again = inbox()
        pubsub.subscribe("t", again)
        pubsub.open_topic("t", epoch=f"other {kept}", offset=5)
        assert await again.take() == [Dropped("t")]
        pubsub.drop_topic("t")


async def test_a_topic_only_a_subscriber_asked_for_goes_with_it():
    pubsub = PubSub()
    one, two = pubsub.subscribe("t", inbox()), pubsub.subscribe("t", inbox())
    one.unsubscribe()
    assert pubsub.topics() == ["t"]
    two.unsubscribe()
    assert pubsub.topics() == []
    three = pubsub.subscribe("t", inbox())
    pubsub.publish("t", b"x")
    three.unsubscribe()
    assert pubsub.topics() == ["t"]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 1), st.integers(0, 4)),
        st.tuples(st.just("subscribe"), st.integers(0, 1), st.integers(0, 2)),
        st.tuples(st.just("unsubscribe"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 1), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.row("P10")
@settings(max_examples=60, deadline=None)
@given(operations)
async def test_whoever_is_subscribed_gets_everything_once_and_in_order(steps):
    pubsub = PubSub(history_size=5)
    boxes = [inbox(1000) for _ in range(3)]
    expected: list[list[object]] = [[], [], []]
    subscriptions = []
    history: dict[str, list[bytes]] = {"0": [], "1": []}
    for number, (what, x, y) in enumerate(steps):
        topic = str(x)
        if what == "publish":
            data = b"%d" % number
            pubsub.publish(topic, data)
            history[topic].append(data)
            for box, subscription in subscriptions:
                if subscription.active and subscription.topic == topic:
                    expected[box].append(data)
        elif what == "subscribe":
            subscriptions.append((y, pubsub.subscribe(topic, boxes[y])))
        elif what == "unsubscribe" and x < len(subscriptions):
            subscriptions[x][1].unsubscribe()
        elif what == "drop":
            for box, subscription in subscriptions:
                if subscription.active and subscription.topic == topic:
                    expected[box].append(None)
            pubsub.drop_topic(topic)
            history[topic] = []
    for box, wanted in zip(boxes, expected, strict=True):
        items = await box.take() if box.depth else []
        got = [item.data if isinstance(item, Publication) else None for item in items]
        assert got == wanted
    for topic, published in history.items():
        kept = pubsub.history(topic)
        assert [p.data for p in kept] == published[-5:]
        if kept:
            assert kept[-1].offset == pubsub.position(topic).offset == len(published)
    active = [s for _, s in subscriptions if s.active]
    assert sum(pubsub.subscribers(t) for t in ("0", "1")) == len(active)
