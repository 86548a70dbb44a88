"""Twitch's notifications as our events. Pure.

Twitch reports one act several times; here is the one report that makes the
event of each act, and so its count and its money:

===================  =====================================================
chat message         ``channel.chat.message``; its ``cheer`` is only text here
follow               ``channel.follow``
new subscription     ``channel.subscribe`` with ``is_gift`` false
renewal              ``channel.subscription.message`` (told when shared in chat)
gift of n            ``channel.subscription.gift``, one event with count n
gift received        ``channel.subscribe`` with ``is_gift`` true, counted nowhere
bits                 ``channel.bits.use``: cheers and power-ups alike. Therefore
                     ``channel.cheer`` and the custom power-up's own redemption,
                     which report parts of the same bits, are not subscribed to
raid                 ``channel.raid``
redemption           ``channel.channel_points_custom_reward_redemption.add``
notices in chat      ``channel.chat.notification``, less the kinds that repeat one
                     of the above
===================  =====================================================

What another channel of a shared chat reports (``shared_chat_...``) is a notice
and never money.

Ids: the chat message's id, the redemption's id and so on where Twitch names
the act itself; else the id of the EventSub message, which is kept on a resend.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from ...errors import BadRequest
from ...events import PlatformEvent, Progress
from . import channel, chat, support
from .arrival import Arrival
from .models import Notification, Unreadable

_READERS: Mapping[str, Callable[[Arrival], PlatformEvent | None]] = {
    "channel.chat.message": chat.chat_message,
    "channel.chat.message_delete": chat.message_deleted,
    "channel.chat.clear": chat.chat_cleared,
    "channel.chat.clear_user_messages": chat.user_messages_cleared,
    "channel.chat.notification": chat.notice,
    "channel.ban": chat.ban,
    "channel.ad_break.begin": chat.ad_break,
    "channel.follow": support.follow,
    "channel.subscribe": support.subscribed,
    "channel.subscription.end": support.subscription_ended,
    "channel.subscription.message": support.renewed,
    "channel.subscription.gift": support.gifted,
    "channel.bits.use": support.bits_used,
    "channel.raid": support.raided,
    "channel.channel_points_custom_reward_redemption.add": support.redeemed,
    "channel.poll.begin": channel.poll(Progress.BEGUN),
    "channel.poll.progress": channel.poll(Progress.PROGRESSED),
    "channel.poll.end": channel.poll(Progress.ENDED),
    "channel.prediction.begin": channel.prediction(Progress.BEGUN),
    "channel.prediction.progress": channel.prediction(Progress.PROGRESSED),
    "channel.prediction.lock": channel.prediction(Progress.LOCKED),
    "channel.prediction.end": channel.prediction(Progress.ENDED),
    "channel.hype_train.begin": channel.hype_train(Progress.BEGUN),
    "channel.hype_train.progress": channel.hype_train(Progress.PROGRESSED),
    "channel.hype_train.end": channel.hype_train(Progress.ENDED),
    "stream.online": channel.stream_online,
    "stream.offline": channel.stream_offline,
    "channel.update": channel.channel_updated,
}


def normalise(
    notification: Notification | Unreadable, *, user_id: int, received_at: datetime
) -> Sequence[PlatformEvent]:
    """The events of one notification; none when another report has the say or the type is unknown.

    Raises BadRequest when it cannot be read.
    """
    if isinstance(notification, Unreadable):
        raise BadRequest(notification.reason)
    read = _READERS.get(notification.type)
    if read is None:
        return ()
    arrival = Arrival(notification=notification, user_id=user_id, received_at=received_at)
    event = read(arrival)
    return () if event is None else (event,)
