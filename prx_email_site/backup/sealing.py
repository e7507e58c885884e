"""Encryption of backups for public keys by age (age-encryption.org). Neither the host that makes one nor the store can
decrypt it.

Each file is an age file of its own, so that `age --decrypt` can read it without this software.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pyrage
from django.conf import settings

from prx_email_site.backup.faults import BackupFault, SegmentDamaged, WrongIdentity
from prx_email_site.backup.stores import BackupFile, BackupStore
from prx_email_site.local_files.scratch_folders import scratch_folder


def folder_for(recipients: Sequence[str]) -> str:
    """The folder in the store for files encrypted for these recipients, with a slash; "" for unencrypted files.

    A segment that is encrypted for other recipients is another file.
    """
    if not recipients:
        return ""
    return f"to-{hashlib.sha256(' '.join(sorted(set(recipients))).encode()).hexdigest()[:12]}/"


def check(recipients: Sequence[str]) -> None:
    """Raise BackupFault if one of the recipients is no public key."""
    for each in recipients:
        _recipient(each)


def _recipient(text: str) -> pyrage.x25519.Recipient | pyrage.ssh.Recipient:
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise BackupFault(
            f"{text[:80]} is no public key of age (age1…) or of SSH (ssh-ed25519, ssh-rsa): {error}"
        ) from error


@dataclass(frozen=True)
class Writer:
    """Writes files to a store, encrypted for the recipients; unencrypted if there are none."""

    store: BackupStore
    recipients: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder of segments and files in the store, with "/"; "" for unencrypted ones."""
        return folder_for(self.recipients)

    def name_of(self, digest: str) -> str:
        """The name in the store of a file with this digest.

        In an encrypted backup it is keyed, as the plain digest would show that a known file is in the backup.
        """
        if not self.recipients:
            return digest
        return hmac.new(settings.ENCRYPTION_KEYS[0].encode(), digest.encode(), hashlib.sha256).hexdigest()

    def put(self, name: str, source: IO[bytes], path: str) -> BackupFile:
        """BackupStore.put(), encrypted. Size and digest are those of the stored (encrypted) bytes."""
        if not self.recipients:
            return self.store.put(name, source, path)
        with self.store.drafts() as drafts:
            sealed = drafts / "sealed"
            with sealed.open("wb") as target:
                pyrage.encrypt_io(source, target, [_recipient(each) for each in self.recipients])
            return replace(self.store.take(sealed, name), path=path)

    def take(self, draft: Path, name: str) -> BackupFile:
        """BackupStore.take(), encrypted. Size and digest are those of the stored (encrypted) bytes."""
        if not self.recipients:
            return self.store.take(draft, name)
        with draft.open("rb") as source:
            stored = self.put(name, source, Path(name).name)
        draft.unlink()
        return stored

    def drafts(self) -> AbstractContextManager[Path]:
        """A context with a folder for unencrypted files; with recipients, it is never inside the store."""
        return scratch_folder("draft") if self.recipients else self.store.drafts()


def identities(path: Path) -> list[pyrage.x25519.Identity | pyrage.ssh.Identity]:
    """The private keys in a file from age-keygen, or of an SSH private key without passphrase. Raises WrongIdentity."""
    try:
        content = path.read_bytes()
        if b"PRIVATE KEY-----" in content:
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError as error:
        raise WrongIdentity(f"{path} holds no private key of age or SSH that can be read.") from error
    except OSError as error:
        raise WrongIdentity(f"The file of the private key cannot be read: {error}") from error
    if not found:
        raise WrongIdentity(f"{path} holds no private key.")
    return found


@contextmanager
def opened(source: IO[bytes], identity: Path, name: str) -> Iterator[IO[bytes]]:
    """A context with the decrypted content, in a temporary file on this host's disk. `name`: for error texts.

    Raises WrongIdentity, and SegmentDamaged if the content is truncated or damaged.
    """
    keys = identities(identity)
    with scratch_folder("opened") as folder, (folder / "plain").open("w+b") as plain:
        try:
            pyrage.decrypt_io(source, plain, keys)
        except pyrage.DecryptError as error:
            raise WrongIdentity(f"{identity} does not open {name}: {error}.") from error
        except OSError as error:
            raise SegmentDamaged(f"{name} cannot be decrypted: {error}") from error
        plain.flush()
        plain.seek(0)
        yield plain
