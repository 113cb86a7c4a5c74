"""Uploads that a killed run left open at a registry, kept so that the next run goes on inside the blob.

A kept session is a hint and never trusted: the registry says how much it has, and compares the digest in the
end. Its URL may hold a token of the registry's, so its file is for its owner alone.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.reference import Digest, Repository

LIFETIME_S = 7 * 24 * 3600.0  # after which registries throw unfinished uploads away
LONGEST_LOCATION_BYTES = 16 * 1024


@dataclass(slots=True)
class Session:
    """The place of one blob's upload, held by one process at a time; the lock goes with the process."""

    path: Path | None
    number: int | None
    location: str | None = None

    def keep(self, location: str) -> None:
        """Remember where the upload goes on."""
        self.location = location
        if self.number is not None:
            content = f"{location}\n".encode()
            with contextlib.suppress(OSError):  # a full disk costs the resuming, not the push
                # in this order the first line is whole at every moment
                os.pwrite(self.number, content, 0)
                os.ftruncate(self.number, len(content))

    def forget(self) -> None:
        """Remove what is remembered: the upload is complete, or is of no use."""
        self.location = None
        if self.number is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self.number, 0)

    def close(self) -> None:
        """Let go of the session; what it remembers stays for the next run."""
        if self.number is None or self.path is None:
            return
        if self.location is None:
            self.path.unlink(missing_ok=True)
        os.close(self.number)
        self.number = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions in a folder; without a folder nothing is kept."""

    folder: Path | None = None

    def take(self, repository: Repository, digest: Digest) -> Session:
        """Return the blob's session in the repository; one that keeps nothing where another run holds it."""
        if self.folder is None:
            return Session(None, None)
        name = hashlib.sha256(f"{repository} {digest}".encode()).hexdigest()
        path = self.folder / name
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return Session(None, None)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Session(path, number, _read(number))
        except OSError:
            os.close(number)
            return Session(None, None)

    def clean(self) -> None:
        """Remove the sessions that no registry knows any more."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > LIFETIME_S:
                    path.unlink()


def _read(number: int) -> str | None:
    os.fchmod(number, 0o600)
    if time.time() - os.fstat(number).st_mtime > LIFETIME_S:
        return None
    line, end, _ = os.pread(number, LONGEST_LOCATION_BYTES, 0).partition(b"\n")
    return line.decode(errors="replace") if end else None
