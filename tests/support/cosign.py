"""cosign, its keys, and its own word on an image: the other tool that has to agree with ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import apt

PROGRAM = "cosign"
PASSWORD = "the key's own password"
OFFLINE = ("--insecure-ignore-tlog=true",)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key of `cosign generate-key-pair`, with a password."""

    private: Path
    public: Path


def ensure_cosign() -> str:
    """Return cosign, installed from Debian where it is missing."""
    if shutil.which(PROGRAM) is None:
        install = apt.install_from_sid if apt.distribution().get("ID") == "debian" else apt.install
        install([PROGRAM], why="cosign, to sign and to verify")
    return PROGRAM


def make_key(folder: Path, *, password: str = PASSWORD) -> KeyPair:
    """Make a key pair in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "COSIGN_PASSWORD": password}
    subprocess.run(
        [PROGRAM, "generate-key-pair"], cwd=folder, env=environment, check=True, capture_output=True
    )
    return KeyPair(folder / "cosign.key", folder / "cosign.pub")


def cosign(*arguments: str, docker_config: Path) -> subprocess.CompletedProcess[str]:
    """Run cosign as people do, logged in by docker's configuration."""
    environment = {**os.environ, "DOCKER_CONFIG": str(docker_config)}
    return subprocess.run(
        [PROGRAM, *arguments], env=environment, check=False, capture_output=True, text=True, timeout=60
    )


def verify(reference: str, key: KeyPair, docker_config: Path) -> subprocess.CompletedProcess[str]:
    """Let cosign verify the signature of an image."""
    return cosign("verify", "--key", str(key.public), *OFFLINE, reference, docker_config=docker_config)


def verify_attestation(
    reference: str, kind: str, key: KeyPair, docker_config: Path
) -> subprocess.CompletedProcess[str]:
    """Let cosign verify an attestation of an image."""
    public = ("--key", str(key.public), *OFFLINE)
    return cosign("verify-attestation", *public, "--type", kind, reference, docker_config=docker_config)
