"""The keys of backups: age's own (X25519). The secret one opens archives; the public one only makes them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyrage
from pyrage import x25519

from emo_site.db.backup.errors import CouldNot

VARIABLE = "EMO_BACKUP_KEY"
HOW_TO = f"make one with `manage.py backup --make-key FILE` and name the file in {VARIABLE}_FILE"


@dataclass(frozen=True)
class Keys:
    """`recipients` can make archives, `identities` can open them."""

    recipients: tuple[x25519.Recipient, ...]
    identities: tuple[x25519.Identity, ...]


def parse(text: str) -> Keys:
    """Reads what age-keygen writes: keys on lines of their own, or parted by spaces; # begins a comment.

    Raises CouldNot, which never shows a key.
    """
    recipients: list[x25519.Recipient] = []
    identities: list[x25519.Identity] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for word in line.partition("#")[0].replace(",", " ").split():
            try:
                if word.startswith("age1"):
                    recipients.append(x25519.Recipient.from_str(word))
                else:
                    identities.append(x25519.Identity.from_str(word))
            except (pyrage.RecipientError, pyrage.IdentityError):
                # Without the cause: it may quote a part of the key.
                raise CouldNot(
                    f"{VARIABLE}: line {number} holds something that is no key of age"
                    f" (AGE-SECRET-KEY-1…, or age1… which only makes backups); {HOW_TO}"
                ) from None
    known = {str(recipient) for recipient in recipients}
    recipients += [own for identity in identities if str(own := identity.to_public()) not in known]
    return Keys(tuple(recipients), tuple(identities))


def for_making(text: str) -> Keys:
    """Raises CouldNot where no key is set."""
    keys = parse(text)
    if not keys.recipients:
        raise CouldNot(f"{VARIABLE} is not set, and backups are never written unencrypted: {HOW_TO}")
    return keys


def for_opening(text: str) -> Keys:
    """Raises CouldNot where no secret key is set."""
    keys = parse(text)
    if keys.identities:
        return keys
    if keys.recipients:
        raise CouldNot(f"{VARIABLE} holds public keys only, which make backups: opening one needs the secret key")
    raise CouldNot(f"{VARIABLE} is not set: opening a backup needs the secret key that it was made for")


def make(path: Path, *, now: datetime) -> str:
    """Writes a new key to a new file that only its owner may read; returns the public key. Raises CouldNot."""
    identity = x25519.Identity.generate()
    public = str(identity.to_public())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"# created: {now:%Y-%m-%dT%H:%M:%SZ}\n# public key: {public}\n{identity}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise CouldNot(f"{path} exists: a key that backups were made for must not be overwritten") from None
    except OSError as error:
        raise CouldNot(f"{path}: can't be written ({error.strerror})") from error
    return public
