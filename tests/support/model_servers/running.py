"""A model server in a container of a test's own, for questions that no benchmark asks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import requests

from tests.support.engine import Engine

READY_WITHIN_S = 60


@contextmanager
def running(engine: Engine, folder: Path, mount: str, ports: Sequence[int]) -> Iterator[dict[int, int]]:
    """Build the folder's image, run it, and lend its ports on 127.0.0.1; nothing of it is left."""
    image = f"model-image-pipeline-test/{folder.name}:{uuid4().hex[:8]}"
    published = [word for port in ports for word in ("--publish", f"127.0.0.1::{port}")]
    try:
        engine.docker("build", "--quiet", "--network", "none", "--tag", image, str(folder), timeout_s=300)
        container = engine.docker("run", "--detach", "--volume", mount, *published, image)
        try:
            yield {port: _published(engine, container, port) for port in ports}
        finally:
            engine.docker("rm", "--force", container)
    finally:
        if engine.docker("image", "ls", "--quiet", image):
            engine.docker("image", "rm", image)


def wait_for(url: str) -> None:
    """Wait until a question is answered with status 200."""
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within {READY_WITHIN_S} s")


def _published(engine: Engine, container: str, port: int) -> int:
    return int(engine.docker("port", container, f"{port}/tcp").splitlines()[0].rpartition(":")[2])
