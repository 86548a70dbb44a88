"""Errors in words, for logs: one line or several, never without limit."""

from collections.abc import Iterator

LIMIT = 1000
BREADTH = 3


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions at the ends of a group's branches; of a single one, itself."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def one_line(text: str, limit: int = LIMIT) -> str:
    """At most ``limit`` characters, an ellipsis for what is left out; line ends become spaces."""
    return shortened(" ".join(text.split()), limit)


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe(error: BaseException, *, breadth: int = BREADTH, limit: int = LIMIT) -> str:
    """Class and words. Of a group how many it holds, and only the first ``breadth`` of them."""
    if not isinstance(error, BaseExceptionGroup):
        return one_line(f"{type(error).__name__}: {error}", limit)
    ends = list(leaves(error))
    shown = [describe(leaf, limit=limit) for leaf in ends[:breadth]]
    if len(ends) > breadth:
        shown.append("…")
    return one_line(f"{type(error).__name__} of {len(ends)}: {'; '.join(shown)}", limit)
