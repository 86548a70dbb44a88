"""Arguments in, exit code out.

Expected errors become one line on stderr: 2 for wrong usage or settings, 1 for
what failed on the way. Anything else is a bug and keeps its traceback.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

from .. import __version__
from ..errors import SettingsError, StreampaiError

Command = Callable[[argparse.Namespace], int]


def _run(args: argparse.Namespace) -> int:
    from .run import run

    return run(args)


def _sandbox(args: argparse.Namespace) -> int:
    from .sandbox import sandbox

    return sandbox(args)


def _health(args: argparse.Namespace) -> int:
    from .health import health

    return health(args)


def _tree(args: argparse.Namespace) -> int:
    from .tree import tree

    return tree(args)


def _user(args: argparse.Namespace) -> int:
    from .user import user

    return user(args)


def _check_settings(args: argparse.Namespace) -> int:
    from .check_settings import check_settings

    return check_settings(args)


def _number(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{what} is a number from {low} to {high}")
    return int(text)


def _port(text: str) -> int:
    return _number(text, 0, 65_535, "a port")


def _base_port(text: str) -> int:
    # The services listen on the ports that follow; they must be known beforehand, so not 0.
    return _number(text, 1, 65_500, "a base port")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a positive number of seconds")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streampai",
        description="One daemon that runs a streamer's whole show.",
        epilog="Settings come from the environment; see streampai check-settings.",
    )
    parser.add_argument("--version", action="version", version=f"streampai {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    def add_data(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--data", metavar="DIR", help="data directory (STREAMPAI_DATA)")

    def add_url(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--url", help="the daemon's address (default: from the settings)")

    def add_base_port(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--base-port",
            type=_base_port,
            default=8090,
            metavar="N",
            help="the sandbox's controls; its services follow (default: 8090)",
        )

    run = add("run", _run, "Run the daemon until SIGTERM or SIGINT.")
    run.add_argument("--sandbox", action="store_true", help="with simulated platforms")
    run.add_argument("--host", help="address to listen on (STREAMPAI_HOST)")
    run.add_argument("--port", type=_port, help="port to listen on (STREAMPAI_PORT)")
    add_base_port(run)
    add_data(run)

    sandbox = add("sandbox", _sandbox, "Serve simulated platforms over their real protocols.")
    add_base_port(sandbox)
    sandbox.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    sandbox.add_argument(
        "--exit-when-idle", type=_seconds, metavar="S", help="end after S seconds without a caller"
    )

    health = add("health", _health, "Ask the daemon how it is: 0 healthy, 1 degraded, 2 down.")
    health.add_argument("--json", action="store_true", help="for machines")
    add_url(health)

    tree = add("tree", _tree, "Show the daemon's live task tree.")
    tree.add_argument("--json", action="store_true", help="for machines")
    add_url(tree)
    add_data(tree)

    user = add("user", _user, "Add and list users, set passwords; the daemon may be running.")
    actions = user.add_subparsers(metavar="ACTION", dest="action", required=True)
    for action, text in (("add", "Add a user."), ("passwd", "Set a user's password.")):
        sub = actions.add_parser(action, help=text, description=text)
        sub.add_argument("name", metavar="NAME")
        sub.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input instead of asking for it",
        )
        if action == "add":
            sub.add_argument("--admin", action="store_true", help="may see all and administer")
        add_data(sub)
    add_data(actions.add_parser("list", help="List users.", description="List users."))

    check = add("check-settings", _check_settings, "Explain every setting and its present value.")
    check.add_argument(
        "--template", action="store_true", help="print an environment file with all defaults"
    )
    return parser


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, out of the groups that nurseries put around them."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _sentence(error: BaseException) -> str | None:
    """What to tell of an expected error; None for a bug."""
    if isinstance(error, StreampaiError):
        return error.message
    if isinstance(error, OSError):
        # A port in use, a directory that may not be written: the operator's to mend.
        where = f"{error.filename}: " if error.filename else ""
        return where + (error.strerror or str(error))
    return None


def _tell(error: BaseException) -> int:
    """Print the sentences of expected errors; raises ``error`` again when one of them is a bug."""
    leaves = list(_leaves(error))
    if all(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return 130
    sentences = [_sentence(leaf) for leaf in leaves]
    if None in sentences:
        raise error
    for sentence in dict.fromkeys(sentences):
        print(f"streampai: {sentence}", file=sys.stderr)
    return 2 if any(isinstance(leaf, SettingsError) for leaf in leaves) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of ``streampai`` with ``argv`` (the process's own by default)."""
    args = _parser().parse_args(argv)
    command: Command = args.command
    try:
        return command(args)
    except (StreampaiError, OSError, BaseExceptionGroup, KeyboardInterrupt) as error:
        return _tell(error)
