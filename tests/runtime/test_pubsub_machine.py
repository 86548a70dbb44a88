"""PubSub against lists of what has been published and of who was there."""

from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from streampai.runtime import Dropped, Mailbox, PubSub, Subscription

from .machine import examples

TOPICS = ["a", "b", "a:b"]
HISTORY = 3


@attrs.define
class Box:
    """A mailbox and what must be in it."""

    mailbox: Mailbox[Any]
    expected: list[object] = attrs.Factory(list)
    closed: bool = False

    def put(self, item: object) -> bool:
        """Whether its subscription outlives it."""
        if self.closed:
            return False
        if len(self.expected) == self.mailbox.capacity:
            self.closed = True
            return False
        self.expected.append(item)
        return True

    def contents(self) -> list[object]:
        return [
            ("dropped", item.topic)
            if isinstance(item, Dropped)
            else (item.topic, item.offset, item.data)
            for item in self.mailbox._items
        ]


@attrs.define(eq=False)
class Wish:
    """A subscription, and whether it must still hold."""

    real: Subscription
    box: Box
    holds: bool = True


@attrs.define
class Life:
    offset: int = 0
    kept: bool = False
    epoch: str | None = None
    history: list[tuple[int, bytes]] = attrs.Factory(list)
    wishes: list[Wish] = attrs.Factory(list)


class Topics(RuleBasedStateMachine):
    boxes = Bundle("boxes")
    wishes = Bundle("wishes")
    topic = st.sampled_from(TOPICS)

    def __init__(self) -> None:
        super().__init__()
        self.real = PubSub(history_size=HISTORY)
        self.model: dict[str, Life] = {}
        self.every_box: list[Box] = []
        self.epochs: set[str] = set()

    @rule(target=boxes, capacity=st.integers(1, 6))
    def box(self, capacity: int) -> Box:
        box = Box(Mailbox(capacity))
        self.every_box.append(box)
        return box

    @rule(box=boxes)
    def read(self, box: Box) -> None:
        box.mailbox._items.clear()
        box.expected.clear()

    @rule(target=wishes, topic=topic, box=boxes)
    def subscribe(self, topic: str, box: Box) -> Wish:
        wish = Wish(self.real.subscribe(topic, box.mailbox, metadata=box), box)
        self.model.setdefault(topic, Life()).wishes.append(wish)
        return wish

    @rule(wish=wishes)
    def unsubscribe(self, wish: Wish) -> None:
        wish.real.unsubscribe()
        self._end(wish)

    @rule(topic=topic, data=st.binary(max_size=3), exclude=st.none() | wishes, whole=st.booleans())
    def publish(self, topic: str, data: bytes, exclude: Wish | None, whole: bool) -> None:
        """To all, or to all but a subscription, or to all but a whole mailbox."""
        life = self.model.setdefault(topic, Life())
        life.kept = True
        life.offset += 1
        life.history = [*life.history, (life.offset, data)][-HISTORY:]
        for wish in list(life.wishes):
            out = exclude is not None and (wish.box is exclude.box if whole else wish is exclude)
            if not out and not wish.box.put((topic, life.offset, data)):
                self._end(wish)
        if exclude is None:
            position = self.real.publish(topic, data)
        else:
            not_to = exclude.box.mailbox if whole else exclude.real
            position = self.real.publish(topic, data, exclude=not_to)
        assert position == self.real.position(topic)

    @rule(topic=topic)
    def drop(self, topic: str) -> None:
        self._drop(topic)
        self.real.drop_topic(topic)

    @rule(topic=topic, ahead=st.integers(-1, 2), epoch=st.sampled_from([None, "stored", "other"]))
    def open(self, topic: str, ahead: int, epoch: str | None) -> None:
        life = self.model.get(topic)
        offset = max(0, (life.offset if life else 0) + ahead)
        stored = [(n, b"stored") for n in range(max(1, offset - 1), offset + 1)]
        self.real.open_topic(topic, epoch=epoch, offset=offset, publications=stored)
        same = life is not None and epoch in (None, life.epoch)
        if life is not None and same and offset <= life.offset:
            life.kept = True
            return
        if life is not None and (life.wishes or life.kept):
            self._drop(topic)
        self.model[topic] = Life(offset, True, epoch, stored[-HISTORY:])

    @rule(topic=topic)
    def ask(self, topic: str) -> None:
        life = self.model.setdefault(topic, Life(kept=True))
        offset, epoch = self.real.position(topic)
        assert offset == life.offset
        if life.epoch is None:
            # A new life has a name that no other has had.
            assert epoch not in self.epochs
            self.epochs.add(epoch)
            life.epoch = epoch
        assert epoch == life.epoch

    def _end(self, wish: Wish) -> None:
        if wish.holds:
            wish.holds = False
            for topic, life in list(self.model.items()):
                if wish in life.wishes:
                    life.wishes.remove(wish)
                    if not life.wishes and not life.kept:
                        del self.model[topic]

    def _drop(self, topic: str) -> None:
        life = self.model.pop(topic, None)
        for wish in life.wishes if life else ():
            wish.holds = False
            wish.box.put(("dropped", topic))

    @invariant()
    def agree(self) -> None:
        assert sorted(self.real.topics()) == sorted(self.model)
        for topic in TOPICS:
            life = self.model.get(topic, Life())
            assert self.real.subscribers(topic) == len(life.wishes)
            assert [s.metadata for s in self.real.subscriptions(topic)] == [
                wish.box for wish in life.wishes
            ]
            assert all(wish.real.active is wish.holds for wish in life.wishes)
            told = [(item.offset, item.data) for item in self.real.history(topic)]
            assert told == life.history
        for box in self.every_box:
            assert box.contents() == box.expected
            assert box.mailbox.closed is box.closed


TestTopics = Topics.TestCase
TestTopics.settings = examples(40)
