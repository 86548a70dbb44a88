"""Topics: whoever is interested gets what is published into a mailbox of its own.

    subscription = pubsub.subscribe("platform:twitch:42", mailbox)
    pubsub.publish("platform:twitch:42", b"...")
    for publication in await mailbox.take():
        ...
    subscription.unsubscribe()

A topic's life has a random name, its epoch, within which publications are
numbered from 1 without holes. Everything is a plain call: between reading the
history and subscribing nothing can be published unless there is an await.
"""

import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import attrs

from .errors import MailboxClosed, MailboxFull


class Position(NamedTuple):
    """The number of a topic's latest publication, 0 before the first, in which epoch."""

    offset: int
    epoch: str


@attrs.define(slots=True, eq=False)
class Publication:
    """One object for all its subscribers and for the history.

    ``frame`` belongs to whoever writes to the wire, which encodes once for all.
    """

    topic: str
    offset: int
    data: bytes
    frame: bytes | None = None


@attrs.frozen
class Dropped:
    """Put into the mailboxes of a topic's subscribers when its life ends."""

    topic: str


class Inbox(Protocol):
    """What PubSub needs of a Mailbox; it may hold other things too."""

    def put(self, item: Publication | Dropped, /) -> None: ...

    def close(self, reason: str, /) -> None: ...


@attrs.define(slots=True, eq=False)
class Subscription:
    """One mailbox's interest in one topic. ``active`` until it ends from either side."""

    topic: str
    mailbox: Inbox
    metadata: Any
    _hub: "PubSub"
    active: bool = True

    def unsubscribe(self) -> None:
        """End it; repeating does nothing. What is in the mailbox stays there."""
        self._hub._unsubscribe(self)


class _Topic:
    __slots__ = ("epoch", "history", "kept", "offset", "subscriptions")

    def __init__(self, epoch: str, offset: int, history_size: int, kept: bool) -> None:
        self.epoch = epoch
        self.offset = offset
        self.history: deque[Publication] = deque(maxlen=history_size)
        # False for one that only a subscriber has asked for: it goes with the last of them.
        self.kept = kept
        self.subscriptions: list[Subscription] = []

    @property
    def position(self) -> Position:
        return Position(self.offset, self.epoch)


def _new_epoch() -> str:
    return secrets.token_urlsafe(6)


class PubSub:
    """Publishing never waits: a subscriber whose mailbox is full loses it, with the reason "slow".

    It must then come back and ask for what it missed. Delivery is at most
    once and in order; each subscription gets its own copy, also the second
    one of the same mailbox.
    """

    def __init__(self, *, history_size: int = 100) -> None:
        self._history_size = history_size
        self._topics: dict[str, _Topic] = {}

    def open_topic(
        self,
        topic: str,
        *,
        epoch: str | None = None,
        offset: int = 0,
        history_size: int | None = None,
        publications: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        """Begin a topic's life, or continue a stored one from ``offset`` in ``epoch``.

        ``publications`` are the last stored ones, ascending, ending at
        ``offset``. A topic that is open in the same epoch (or with ``epoch``
        None) and not behind stays as it is; any other is replaced, and its
        subscribers are told with Dropped.
        """
        present = self._topics.get(topic)
        if present is not None:
            same_life = epoch is None or epoch == present.epoch
            if same_life and offset <= present.offset:
                present.kept = True
                return
            if present.subscriptions or present.kept:
                self.drop_topic(topic)
        size = self._history_size if history_size is None else history_size
        life = _Topic(epoch or _new_epoch(), offset, size, kept=True)
        expected = None
        for number, data in publications:
            if expected not in (None, number):
                raise ValueError(f"{topic}: publication {number} follows {expected - 1}")
            life.history.append(Publication(topic, number, data))
            expected = number + 1
        if expected not in (None, offset + 1):
            raise ValueError(f"{topic}: publications end at {expected - 1}, offset is {offset}")
        self._topics[topic] = life

    def drop_topic(self, topic: str) -> None:
        """End a topic's life: its position and history are forgotten, its subscribers told."""
        life = self._topics.pop(topic, None)
        if life is None:
            return
        notice = Dropped(topic)
        for subscription in life.subscriptions:
            subscription.active = False
            self._deliver(subscription, notice)

    def publish(
        self, topic: str, data: bytes, *, exclude: Subscription | Inbox | None = None
    ) -> Position:
        """Number it, remember it, hand it to every subscriber but ``exclude``: one step.

        Opens the topic when it is unknown.
        """
        life = self._topics.get(topic)
        if life is None:
            life = self._open(topic, kept=True)
        life.kept = True
        life.offset = offset = life.offset + 1
        publication = Publication(topic, offset, data)
        life.history.append(publication)
        lost = None
        for subscription in life.subscriptions:
            if exclude is not None and exclude in (subscription, subscription.mailbox):
                continue
            if not self._deliver(subscription, publication):
                lost = lost or []
                lost.append(subscription)
        for subscription in lost or ():
            self._unsubscribe(subscription)
        return Position(offset, life.epoch)

    def subscribe(self, topic: str, mailbox: Inbox, *, metadata: object = None) -> Subscription:
        """Have everything published from now on put into ``mailbox``.

        An unknown topic is opened, and forgotten again if nothing has been
        published when its last subscriber goes.
        """
        life = self._topics.get(topic) or self._open(topic, kept=False)
        subscription = Subscription(topic, mailbox, metadata, self)
        life.subscriptions.append(subscription)
        return subscription

    def position(self, topic: str) -> Position:
        """Where the topic stands. An unknown one is opened, so that the answer stays true."""
        return (self._topics.get(topic) or self._open(topic, kept=True)).position

    def history(self, topic: str) -> Sequence[Publication]:
        """The latest publications, oldest first, without holes up to the position."""
        life = self._topics.get(topic)
        return () if life is None else tuple(life.history)

    def subscribers(self, topic: str) -> int:
        """How many subscriptions the topic has."""
        life = self._topics.get(topic)
        return 0 if life is None else len(life.subscriptions)

    def subscriptions(self, topic: str) -> Sequence[Subscription]:
        """They themselves with their metadata, oldest first."""
        life = self._topics.get(topic)
        return () if life is None else tuple(life.subscriptions)

    def topics(self) -> list[str]:
        """The names of all open topics."""
        return list(self._topics)

    def _open(self, topic: str, *, kept: bool) -> _Topic:
        life = self._topics[topic] = _Topic(_new_epoch(), 0, self._history_size, kept)
        return life

    def _deliver(self, subscription: Subscription, item: Publication | Dropped) -> bool:
        try:
            subscription.mailbox.put(item)
        except MailboxFull:
            subscription.mailbox.close("slow")
            return False
        except MailboxClosed:
            return False
        return True

    def _unsubscribe(self, subscription: Subscription) -> None:
        if not subscription.active:
            return
        subscription.active = False
        life = self._topics[subscription.topic]
        life.subscriptions.remove(subscription)
        if not life.subscriptions and not life.kept:
            del self._topics[subscription.topic]
