import pytest

from streampai.web.socket import BYTES_PER_WRITE, DirectSocket, batches, text_frame

from .raw_socket import frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_frame_is_what_any_client_would_have_made_of_it(size: int) -> None:
    assert text_frame(b"x" * size) == frame(b"x" * size, mask=False)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([10] * 3, [3]),
        ([10] * 40, [16, 16, 8]),
        ([BYTES_PER_WRITE + 1], [1]),
        ([40_000, 40_000], [1, 1]),
        ([40_000, 20_000, 10_000, 1], [2, 2]),
        ([1, BYTES_PER_WRITE + 1, 1], [1, 1, 1]),
    ],
)
def test_messages_are_packed_by_number_and_size(sizes: list[int], expected: list[int]) -> None:
    messages = [b"x" * size for size in sizes]
    packed = list(batches(messages))
    assert [len(batch) for batch in packed] == expected
    assert [message for batch in packed for message in batch] == messages


def test_no_stream_is_found_where_there_is_none() -> None:
    async def send(message: object) -> None: ...

    assert DirectSocket.find(send) is None
