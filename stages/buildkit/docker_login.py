"""A docker configuration for one build: the user's own, with a login that only the pipeline knows."""

import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stages.oci.authentication import Credentials
from stages.registries.credentials import DOCKER_HUB, DOCKER_HUB_HOSTS, DockerConfig


@contextlib.contextmanager
def logged_in(login: tuple[str, Credentials] | None) -> Iterator[Path | None]:
    """Lend a configuration folder with this login, or None where the user's own will do.

    Everything else in it is the user's: contexts, plugins, builders. Nobody else can read it, and it goes
    with the build.

    Raises:
        ConfigurationError: the user's own cannot be read.
    """
    if login is None:
        yield None
        return
    host, credentials = login
    own = DockerConfig.load()
    content = dict(own.content)
    key = DOCKER_HUB if host in DOCKER_HUB_HOSTS else host
    content["auths"] = {**(content.get("auths") or {}), key: _entry(credentials)}
    # no program is asked for this host: an empty name is how docker's client says so
    content["credHelpers"] = {**(content.get("credHelpers") or {}), key: ""}
    with tempfile.TemporaryDirectory(prefix="pipeline-login-") as name:
        folder = Path(name)
        for entry in _entries(own.path.parent):
            (folder / entry.name).symlink_to(entry.resolve())
        path = folder / own.path.name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        yield folder


def _entry(credentials: Credentials) -> dict[str, str]:
    password = "" if credentials.identity_token else credentials.secret
    auth = base64.b64encode(f"{credentials.username}:{password}".encode()).decode()
    token = {"identitytoken": credentials.secret} if credentials.identity_token else {}
    return {"auth": auth, **token}


def _entries(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (entry for entry in folder.iterdir() if entry.name != "config.json")
