"""The base image of the example's Dockerfile: present, pulled, or bootstrapped from this machine's apt."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Literal

from tests.support import apt
from tests.support.commands import answers, cache_folder, log_file, one_at_a_time, run_logged
from tests.support.engine import Engine
from tests.support.errors import SetupError

BASE_IMAGE = "python:3.11-slim"
ARCHIVE_NAME = "python-3.11-slim"
# The Debian release whose Python is the one that the tag promises.
SUITE = "bookworm"

# Newer files get this time (2026-01-01), so that the same packages make the same image.
SOURCE_DATE_EPOCH = 1767225600
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"

PULL_LIMIT_S = 180
ADVICE = f"pull or load an image named {BASE_IMAGE} into the engine yourself"

Origin = Literal["present", "pulled", "bootstrapped", "cached bootstrap"]

_WHEELS = "/usr/share/python-wheels"
_INSTALL_PIP = (
    f"PYTHONPATH=\\$(echo {_WHEELS}/pip-*.whl) "
    f"python3 -m pip install --quiet --no-index --root-user-action=ignore --find-links={_WHEELS} pip"
)
# `python` and a pip that installs into the image's own Python, as in the image of this name on the hub.
_CUSTOMIZE = (
    'rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'ln -s /usr/bin/python3 "$1"/usr/local/bin/python',
    f'chroot "$1" sh -c "{_INSTALL_PIP}"',
    'rm -rf "$1"/var/log/* "$1"/root/.cache "$1"/etc/apt/apt.conf.d/99mmdebstrap',
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
_PACKAGES = (
    "python3",
    "python3-venv",
    "libpython3.11",  # the shared library, which some servers load; the hub's image has it too
    "ca-certificates",
)
_BOOTSTRAP = (
    *("mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(_PACKAGES)}"),
    # Without this hook apt satisfies the merged /usr with a package that needs the whole of Perl.
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=force-unsafe-io",
    *(f"--customize-hook={hook}" for hook in _CUSTOMIZE),
)
# What apt must know about this machine's network to reach the same sources as the machine does.
_APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Languages")


def ensure_base_image(engine: Engine) -> Origin:
    """Make sure that the engine has the base image, and say where it came from."""
    if _is_there(engine):
        return "present"
    if _pull(engine):
        return "pulled"
    with one_at_a_time("base-image"):
        cached = archive_path().exists()
        archive = _bootstrap()
        message = ("--message", archive.stem)
        engine.docker("import", *_changes(), *message, str(archive), BASE_IMAGE, timeout_s=300)
    return "cached bootstrap" if cached else "bootstrapped"


def _is_there(engine: Engine) -> bool:
    """Tell whether the engine has the base image; one that an older recipe made here does not count."""
    if not engine.docker("image", "ls", "--quiet", BASE_IMAGE):
        return False
    comment = engine.docker("image", "inspect", "--format", "{{.Comment}}", BASE_IMAGE)
    made_here = comment.startswith(("Imported from", ARCHIVE_NAME))
    return not made_here or comment == archive_path().stem


def archive_path() -> Path:
    """Return where the bootstrapped file system is kept; a changed recipe gets another name."""
    recipe = hashlib.sha256("\0".join((*_BOOTSTRAP, SUITE)).encode()).hexdigest()[:12]
    return cache_folder() / "base-images" / f"{ARCHIVE_NAME}-{recipe}.tar"


def hub_has_base_image() -> bool:
    """Say whether a hub answers for the base image; the engine itself is not asked to pull yet."""
    return answers(["docker", "buildx", "imagetools", "inspect", BASE_IMAGE], timeout_s=10)


def _bootstrap() -> Path:
    """Bootstrap the file system into the cache unless it is there; needs half a minute and no engine."""
    archive = archive_path()
    if archive.exists():
        return archive
    if not answers(["mmdebstrap", "--version"]):
        apt.install(["mmdebstrap"], why=f"a base image ({BASE_IMAGE}; no hub answers)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    sources = archive.with_suffix(".sources")
    sources.write_text(apt.machine_suites(SUITE))
    unfinished = archive.with_suffix(".unfinished")
    try:
        run_logged(
            [*_BOOTSTRAP, *apt_options(), SUITE, str(unfinished), str(sources)],
            log=log_file("base-image"),
            advice=f"check that apt-get update works here, or {ADVICE}",
            environment={"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH), "LC_ALL": "C.UTF-8"},
        )
        unfinished.rename(archive)
    finally:
        unfinished.unlink(missing_ok=True)
    return archive


def _pull(engine: Engine) -> bool:
    if not hub_has_base_image():
        return False
    try:
        engine.docker("pull", "--quiet", BASE_IMAGE, timeout_s=PULL_LIMIT_S)
    except (SetupError, subprocess.TimeoutExpired):
        return False
    return True


def _changes() -> list[str]:
    changes = (f"ENV PATH={PATH}", "ENV LANG=C.UTF-8", 'CMD ["python3"]')
    return [word for change in changes for word in ("--change", change)]


def apt_options() -> list[str]:
    """Return what a bootstrap must know of this machine's apt, as arguments of mmdebstrap."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    options = [line for line in dump.splitlines() if line.startswith(_APT_OPTIONS) and '""' not in line]
    return [f"--aptopt={option.removesuffix(';')}" for option in options]
