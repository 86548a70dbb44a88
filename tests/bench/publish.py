"""T5: what publishing costs, against putting the same into as many memory channels."""

from statistics import median
from time import process_time

import trio

from streampai.runtime import Mailbox, PubSub

from .figures import Figure, apart

# In microseconds, by number of subscribers.
LIMITS = {0: 1.0, 1: 2.0, 10: None, 100: 60.0}
TIMES, ITEMS = 9, 2_000
DATA = b'{"type":"chat_message"}'


def _each(step):
    """Microseconds for one of ITEMS steps."""
    begun = process_time()
    for _ in range(ITEMS):
        step()
    return (process_time() - begun) / ITEMS * 1e6


async def _publish(subscribers):
    pubsub = PubSub()
    mailboxes = [Mailbox(ITEMS) for _ in range(subscribers)]
    for mailbox in mailboxes:
        pubsub.subscribe("topic", mailbox)
    times = []
    for _ in range(TIMES):
        times.append(_each(lambda: pubsub.publish("topic", DATA)))
        for mailbox in mailboxes:
            assert len(await mailbox.take()) == ITEMS
    return median(times)


async def _bare_publish(subscribers):
    channels = [trio.open_memory_channel(ITEMS) for _ in range(subscribers)]

    def step():
        for sender, _ in channels:
            sender.send_nowait(DATA)

    times = []
    for _ in range(TIMES):
        times.append(_each(step))
        for _, receiver in channels:
            for _ in range(ITEMS):
                receiver.receive_nowait()
    return median(times)


def measure():
    for subscribers, limit in LIMITS.items():
        yield Figure(
            target="T5",
            what=f"publish to {subscribers} subscribers",
            unit="us",
            ours=apart(trio.run, _publish, subscribers),
            against=apart(trio.run, _bare_publish, subscribers) if subscribers else None,
            limit=limit,
            absolute=True,
        )
