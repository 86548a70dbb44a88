import base64

import pytest

from streampai.errors import SettingsError
from streampai.settings import Secret
from streampai.storage.secretbox import SecretBox, SecretUnreadable, new_key, parse_keys

ROW = {"user_id": 42, "platform": "twitch", "kind": "tokens"}
OLD, NEW = new_key(), new_key()


def box(text: str) -> SecretBox:
    return SecretBox(parse_keys(Secret(text), "STREAMPAI_KEY"))


def test_what_was_sealed_opens_in_its_own_row() -> None:
    sealed = box(OLD.reveal()).seal(Secret("canary"), **ROW)
    assert b"canary" not in sealed
    assert box(OLD.reveal()).open(sealed, **ROW) == Secret("canary")


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert box(OLD.reveal()).seal(Secret("x"), **ROW) != box(OLD.reveal()).seal(Secret("x"), **ROW)


@pytest.mark.parametrize("change", [{"user_id": 43}, {"platform": "kick"}, {"kind": "other"}])
def test_a_row_moved_elsewhere_does_not_open(change: dict[str, object]) -> None:
    sealed = box(OLD.reveal()).seal(Secret("canary"), **ROW)
    with pytest.raises(SecretUnreadable):
        box(OLD.reveal()).open(sealed, **{**ROW, **change})


def test_any_damaged_byte_is_noticed() -> None:
    sealed = box(OLD.reveal()).seal(Secret("canary"), **ROW)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SecretUnreadable):
            box(OLD.reveal()).open(bytes(damaged), **ROW)


@pytest.mark.parametrize("length", range(30))
def test_a_value_cut_short_is_noticed(length: int) -> None:
    sealed = box(OLD.reveal()).seal(Secret(""), **ROW)
    with pytest.raises(SecretUnreadable):
        box(OLD.reveal()).open(sealed[: min(length, len(sealed) - 1)], **ROW)


def test_the_newest_key_seals_and_the_older_still_opens() -> None:
    old = box(f"1:{OLD.reveal()}")
    both = box(f"1:{OLD.reveal()}, 2:{NEW.reveal()}")
    new = box(f"2:{NEW.reveal()}")
    assert both.open(old.seal(Secret("a"), **ROW), **ROW) == Secret("a")
    sealed = both.seal(Secret("b"), **ROW)
    assert sealed[0] == 2
    assert new.open(sealed, **ROW) == Secret("b")
    with pytest.raises(SecretUnreadable):
        old.open(sealed, **ROW)


def test_keys_without_numbers_count_from_one() -> None:
    text = f"{OLD.reveal()}\n{NEW.reveal()}\n"
    assert list(parse_keys(Secret(text), "key")) == [1, 2]


def test_the_url_safe_alphabet_is_read_too() -> None:
    key = b"\xfb\xff" * 16
    text = base64.urlsafe_b64encode(key).decode()
    assert parse_keys(Secret(text), "key") == {1: key}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c2hvcnQ=", "5 bytes, expected 32"),
        ("not base64!", "not base64"),
        ("ключ", "not base64"),
        (f"0:{OLD.reveal()}", "1 to 255"),
        (f"256:{OLD.reveal()}", "1 to 255"),
        (f"one:{OLD.reveal()}", "not base64"),
        (f"1:{OLD.reveal()} 1:{NEW.reveal()}", "must differ"),
    ],
)
def test_a_malformed_key_is_named_and_never_shown(text: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        parse_keys(Secret(text), "STREAMPAI_KEY")
    assert "STREAMPAI_KEY" in str(caught.value)
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None
