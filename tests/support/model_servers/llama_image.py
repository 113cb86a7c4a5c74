"""The image that the example of a language model begins with: present, pulled, or of Debian's packages."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.support import apt
from tests.support.base_image import SOURCE_DATE_EPOCH, apt_options
from tests.support.commands import answers, cache_folder, log_file, one_at_a_time, run_logged
from tests.support.engine import Engine
from tests.support.errors import SetupError

LLAMA_IMAGE = "ghcr.io/ggml-org/llama.cpp:server"
SUITE = "sid"  # the only suite of Debian that has the server
PULL_LIMIT_S = 180
ADVICE = f"pull or load an image named {LLAMA_IMAGE} into the engine yourself"

# Extracted and not configured: the server, the libraries that it needs, and no shell to run anything else.
_BOOTSTRAP = (
    *("mmdebstrap", "--variant=extract", "--format=tar", "--include=base-files,llama.cpp-tools"),
    *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"),
    # The place that the project's own image gives it.
    '--extract-hook=mkdir "$1"/app && ln -s /usr/bin/llama-server "$1"/app/',
)
_CHANGES = ("ENV LLAMA_ARG_HOST=0.0.0.0", 'ENTRYPOINT ["/app/llama-server"]')


def ensure_llama_image(engine: Engine) -> None:
    """Make sure that the engine has the image."""
    if engine.docker("image", "ls", "--quiet", LLAMA_IMAGE) or _pull(engine):
        return
    with one_at_a_time("llama-image"):
        changes = [word for change in _CHANGES for word in ("--change", change)]
        engine.docker("import", *changes, str(_bootstrap()), LLAMA_IMAGE, timeout_s=300)


def _pull(engine: Engine) -> bool:
    if not answers(["docker", "buildx", "imagetools", "inspect", LLAMA_IMAGE], timeout_s=10):
        return False
    try:
        engine.docker("pull", "--quiet", LLAMA_IMAGE, timeout_s=PULL_LIMIT_S)
    except (SetupError, subprocess.TimeoutExpired):
        return False
    return True


def _bootstrap() -> Path:
    """Bootstrap the file system into the cache unless it is there; needs half a minute and no engine."""
    recipe = hashlib.sha256("\0".join((*_BOOTSTRAP, SUITE)).encode()).hexdigest()[:12]
    archive = cache_folder() / "base-images" / f"llama-server-{recipe}.tar"
    if archive.exists():
        return archive
    if not answers(["mmdebstrap", "--version"]):
        apt.install(["mmdebstrap"], why=f"a base image ({LLAMA_IMAGE}; no registry answers)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    sources = archive.with_suffix(".sources")
    sources.write_text(apt.machine_suites(SUITE))
    unfinished = archive.with_suffix(".unfinished")
    try:
        run_logged(
            [*_BOOTSTRAP, *apt_options(), SUITE, str(unfinished), str(sources)],
            log=log_file("llama-image"),
            advice=f"check that apt-get update works here, or {ADVICE}",
            environment={"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH), "LC_ALL": "C.UTF-8"},
        )
        unfinished.rename(archive)
    finally:
        unfinished.unlink(missing_ok=True)
    return archive
