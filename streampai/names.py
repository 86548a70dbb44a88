"""Registry keys, which are also task names and log fields, and topics.

A key is a tuple such as ``("platform_monitor", 42, "twitch")``; written as a
task name it is ``platform_monitor/42/twitch``. A topic is the name that
browsers subscribe to, such as ``platform:twitch:42``.
"""

Key = tuple[str | int, ...]


def user_stream_manager(user_id: int) -> Key:
    return ("user_stream_manager", user_id)


def stream_state(user_id: int) -> Key:
    return ("stream_state", user_id)


def cloudflare_input(user_id: int) -> Key:
    return ("cloudflare_input", user_id)


def cloudflare_output(user_id: int) -> Key:
    return ("cloudflare_output", user_id)


def platform_monitors(user_id: int) -> Key:
    return ("platform_monitors", user_id)


def platform_monitor(user_id: int, platform: str) -> Key:
    return ("platform_monitor", user_id, platform)


def token_refresher(user_id: int, platform: str) -> Key:
    return ("token_refresher", user_id, platform)


def task_name(key: Key) -> str:
    """The key as it stands in the task tree and in log lines."""
    return "/".join(map(str, key))


def user_stream_topic(user_id: int) -> str:
    """State changes; every publication is a whole snapshot with a revision."""
    return f"user_stream:{user_id}"


def statistics_topic(user_id: int) -> str:
    """Metrics; every publication is a whole snapshot."""
    return f"user_stream:{user_id}:statistics"


def platform_topic(platform: str, user_id: int) -> str:
    """Platform events, durable, numbered without holes."""
    return f"platform:{platform}:{user_id}"


def cloudflare_input_topic(user_id: int) -> str:
    """Input status; every publication is a whole snapshot."""
    return f"cloudflare_input:{user_id}"


def stream_lifecycle_topic(user_id: int) -> str:
    """Start and stop steps, outputs, failures, outcomes of commands; durable."""
    return f"stream_lifecycle:{user_id}"


def topic_owner(topic: str) -> int | None:
    """The user a topic belongs to, or None when it is no topic of ours."""
    match topic.split(":"):
        case ["user_stream" | "cloudflare_input" | "stream_lifecycle", user]:
            pass
        case ["user_stream", user, "statistics"]:
            pass
        case ["platform", platform, user] if platform.isidentifier():
            pass
        case _:
            return None
    # A second spelling of a number ("042", "४२") would be a second topic.
    if not (user.isascii() and user.isdigit()) or str(int(user)) != user:
        return None
    return int(user)
