"""Secrets at rest: AES-256-GCM, bound to the row they stand in.

A sealed value is the key's number in one byte, a random nonce of twelve, the
ciphertext and its tag. What the value belongs to – user, platform, kind – is
authenticated with it, so a row copied to another user cannot be opened there.

The newest key seals; older ones still open. Keys are written oldest first,
separated by commas or white space, each 32 bytes in base64 with an optional
number in front: ``1:q83v…, 2:Zk9a…``. Without numbers they count from one.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SettingsError
from ..settings import Secret

_NONCE = 12


class SecretUnreadable(Exception):
    """A sealed value cannot be opened: damaged, moved to another row, or its key is not here."""


def new_key() -> Secret:
    return Secret(base64.b64encode(secrets.token_bytes(32)).decode())


def parse_keys(text: Secret, origin: str) -> dict[int, bytes]:
    """Keys by number, oldest first. Raises SettingsError naming ``origin`` and never the value."""
    keys: dict[int, bytes] = {}
    for position, word in enumerate(re.split(r"[\s,]+", text.reveal().strip()), start=1):
        number, _, encoded = word.rpartition(":")
        try:
            identity = int(number) if number else position
            key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
        except (ValueError, binascii.Error):
            raise SettingsError(f"{origin}: key {position} is not base64 of 32 bytes") from None
        if len(key) != 32:
            raise SettingsError(f"{origin}: key {position} has {len(key)} bytes, expected 32")
        if not 1 <= identity <= 255 or identity in keys:
            raise SettingsError(f"{origin}: key numbers must differ and be from 1 to 255")
        keys[identity] = key
    return keys


class SecretBox:
    """Seals and opens. Has no repr of its keys; safe to use from any thread."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._ciphers = {identity: AESGCM(key) for identity, key in keys.items()}
        self.newest = next(reversed(self._ciphers))

    def seal(self, secret: Secret, *, user_id: int, platform: str, kind: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[self.newest].encrypt(
            nonce, secret.reveal().encode(), _belongs_to(user_id, platform, kind)
        )
        return bytes([self.newest]) + nonce + sealed

    def open(self, sealed: bytes, *, user_id: int, platform: str, kind: str) -> Secret:
        """Raises SecretUnreadable."""
        cipher = self._ciphers.get(sealed[0]) if sealed else None
        if cipher is None:
            raise SecretUnreadable("sealed with a key that is not configured")
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return Secret(
                cipher.decrypt(nonce, body, _belongs_to(user_id, platform, kind)).decode()
            )
        except (InvalidTag, ValueError):
            # ValueError: too short to hold a nonce and a tag.
            raise SecretUnreadable("damaged, or sealed for another row") from None


def _belongs_to(user_id: int, platform: str, kind: str) -> bytes:
    return f"{user_id}:{platform}:{kind}".encode()
