"""A scanner's program: where it is, that its checksum is right, and that it is what its name says.

The checksum comes before the first start. What it is compared with: what `pipeline.yaml` says; or else, for a
program that a wheel brought, what pip wrote down when it installed that wheel. A program from elsewhere has
nothing to be compared with, and its checks say so.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

from pipeline.errors import PipelineError, ToolMissing
from pipeline.model import Check, Problem
from pipeline.process import Command, run

VERSION = r"v?((\d+)\.(\d+)\S*)"
"""What a pattern for `--version` has: the version, and its first two numbers."""
NOT_COMPARED = "checksum not compared: nothing says what it should be"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that may be used."""

    path: Path
    version: str
    checksum: str = NOT_COMPARED
    """What its checksum was compared with, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a program has to be, and who brings it."""

    name: str
    """The file's name."""
    title: str
    """What people call it."""
    wheel: str
    """The package that brings it."""
    pattern: re.Pattern[str]
    """What it answers to `--version`."""
    oldest: tuple[int, int]
    compromised: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Versions that were published by an attacker, and where that is told."""
    otherwise: str = ""
    """What to do where the package has no program for the machine."""

    @property
    def setting(self) -> str:
        """The key of `pipeline.yaml` that names the program."""
        return f"scan.{self.name}"

    @property
    def advice(self) -> str:
        """How to get one."""
        install = f"Run `pip install 'model-image-pipeline[{self.name}]'`"
        return " ".join(filter(None, (f"{install}, or set `{self.setting}` to the program.", self.otherwise)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which program is wanted, as the configuration says it."""

    program: str | None = None
    """Its path, or its name on the PATH; default: the one on the PATH, or the one of the wheel."""
    sha256: str | None = None
    """Its checksum, 64 hexadecimal digits; default: the one that pip wrote down, for the wheel's program."""

    def find(self, kind: Kind) -> Program:
        """Return the configured program, or else the one on the PATH, or else the one of the wheel.

        Raises:
            ToolMissing: there is none, it is too old, something else, or not the one that it should be.
        """
        path = self._locate(kind)
        status = path.stat()
        return _verified(path, kind, self.sha256, status.st_size, status.st_mtime_ns)

    def installed(self, kind: Kind) -> bool:
        """Tell whether there is any, without asking what it is."""
        try:
            self._locate(kind)
        except ToolMissing:
            return False
        return True

    def check(self, kind: Kind, subject: str) -> Check:
        """Tell which one would run, and what its checksum was compared with."""
        try:
            program = self.find(kind)
        except PipelineError as error:
            return Check(subject=subject, found=error.message, problem=Problem.TOOL, advice=error.advice)
        return Check(subject=subject, found=f"{program.version} ({program.path}; {program.checksum})")

    def _locate(self, kind: Kind) -> Path:
        if self.program is not None:
            if (found := which(self.program)) is None:
                raise ToolMissing(
                    f"{kind.setting}: {self.program!r} is no program that can be run", advice=kind.advice
                )
            return Path(found)
        if (found := which(kind.name)) is not None:
            return Path(found)
        wheel = _wheel_file(kind)
        if wheel is None or which(wheel[0]) is None:
            raise ToolMissing(f"{kind.title} is not installed", advice=kind.advice)
        return wheel[0]


@functools.lru_cache(maxsize=8)
def _verified(path: Path, kind: Kind, sha256: str | None, size_bytes: int, modified_ns: int) -> Program:
    """Return the program once its checksum and version are right; size and time tell when to look again."""
    checksum = _verify_checksum(path, kind, sha256)
    outcome = run(Command(arguments=(str(path), "--version"), timeout_s=60))
    match = kind.pattern.search(outcome.stdout)
    if not outcome.succeeded or match is None:
        raise ToolMissing(
            f"{path} does not answer `--version` as {kind.title} does",
            advice=f"Is it another program of that name? {kind.advice}",
        )
    _require_trusted(path, kind, match[1])
    if (int(match[2]), int(match[3])) < kind.oldest:
        raise ToolMissing(
            f"{path} is {kind.title} {match[1]}; at least {kind.oldest[0]}.{kind.oldest[1]} is needed",
            advice=kind.advice,
        )
    return Program(path, match[1], checksum)


def _require_trusted(path: Path, kind: Kind, version: str) -> None:
    if (where := kind.compromised.get(version)) is not None:
        raise ToolMissing(
            f"{path} is {kind.title} {version}, a version that was published by an attacker ({where})",
            advice="Remove it, replace every secret that it could read on this machine, and take another"
            f" version. {kind.advice}",
        )


def _verify_checksum(path: Path, kind: Kind, sha256: str | None) -> str:
    """Return what the checksum was compared with, once it is right."""
    wheel = _wheel_file(kind)
    of_wheel = wheel is not None and wheel[0].resolve() == path.resolve()
    if sha256 is None and not of_wheel:
        return NOT_COMPARED
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").digest()
    if sha256 is not None and found.hex() != sha256.lower():
        raise ToolMissing(
            f"{path} is not the program that is wanted: its SHA-256 is {found.hex()},"
            f" and {kind.setting}.sha256 says {sha256.lower()}",
            advice="Find out which of them is right before you trust it: the release's own list of checksums"
            " tells.",
        )
    if of_wheel and wheel is not None and _urlsafe(found) != wheel[1]:
        raise ToolMissing(
            f"{path} was changed since it was installed: its checksum is not that of the package"
            f" {kind.wheel}",
            advice=f"Find out why before you trust it. Then: `pip install --force-reinstall {kind.wheel}`.",
        )
    return "checksum as configured" if sha256 is not None else "checksum as installed"


def _urlsafe(digest: bytes) -> str:
    """Return a digest as wheels write it down."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _wheel_file(kind: Kind) -> tuple[Path, str] | None:
    """Return the program that the wheel brought and its SHA-256 by RECORD; None without it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(kind.wheel).files or []
    except PackageNotFoundError:
        return None
    for file in files:
        if file.name == kind.name and file.hash is not None and file.hash.mode == "sha256":
            return Path(str(file.locate())).resolve(), file.hash.value
    return None
