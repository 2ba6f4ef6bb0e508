"""Secrets in the database, encrypted with a key that is not in it."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy.orm import Session

from handover.errors import ConfigError
from handover.store.models import SecretRow

KEY_FILE = "secret.key"


class SecretBox:
    """Encrypts and decrypts with one key (Fernet: AES-128-CBC and HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256(key.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    @classmethod
    def open(cls, *, key: str, data_dir: Path) -> SecretBox:
        """A box with `key`, or with the key kept in `data_dir` (made on first use, readable by the owner only)."""
        return cls(key or _key_from_file(data_dir / KEY_FILE))

    def put(self, session: Session, name: str, value: str) -> None:
        """Store a secret, replacing an older value."""
        session.merge(SecretRow(name=name, ciphertext=self._fernet.encrypt(value.encode())))

    def get(self, session: Session, name: str) -> str:
        """A stored secret, empty if there is none. Raises ConfigError when the key does not fit."""
        row = session.get(SecretRow, name)
        if row is None:
            return ""
        try:
            return self._fernet.decrypt(row.ciphertext).decode()
        except InvalidToken as error:
            raise ConfigError(
                f"The stored secret {name!r} cannot be decrypted: it was stored with another key. Set "
                "HANDOVER_SECRET_KEY to the old key, or run `handover connect` again."
            ) from error


def _key_from_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(Fernet.generate_key().decode())
    return path.read_text().strip()
