"""How git's SSH client is called: never a question, never an unknown host, never a key that is not meant.

A deploy key comes from `GITOPS_SSH_KEY` (its content) or from a file, and is written into a scratch folder,
not the run's, with the mode that ssh insists on; the folder goes when the stage ends. Without a key, ssh's
own ways hold: GIT_SSH_COMMAND, the agent, ~/.ssh/config, the default keys.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.process import Command

SSH_KEY = "GITOPS_SSH_KEY"
_SCHEMES = {"ssh", "git+ssh", "ssh+git"}
_SHORT = re.compile(r"(?!/)(?:[^@/\s]*@)?(\[[^\]]+\]|[^:/\s]+):(?!//).*")  # user@host:path, as git reads it
_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "ControlPath=none",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
)


def is_short(url: str) -> bool:
    """Tell whether it is an address such as `git@host:path`."""
    return "://" not in url and _SHORT.fullmatch(url) is not None


def host_of(url: str) -> tuple[str, int | None] | None:
    """Return host and port (None: ssh's own choice) of an address that is reached by SSH; None for others."""
    if is_short(url):
        found = _SHORT.fullmatch(url)
        return (found[1].strip("[]"), None) if found else None
    parts = urlsplit(url)
    return (parts.hostname, parts.port) if parts.scheme in _SCHEMES and parts.hostname else None


def keyscan(url: str) -> str:
    """Return the line that shows the host's keys and writes them down."""
    host, port = host_of(url) or ("HOST", None)
    return f"ssh-keyscan {f'-p {port} ' if port else ''}{host} >> ~/.ssh/known_hosts"


def command(key: Path | None, known_hosts: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the command that git starts; git hands it to a shell, hence the quotes.

    A command of the user's keeps its program and words, after ours: ssh takes the first value of an option.
    """
    options = list(_OPTIONS)
    if known_hosts is not None:
        options += [f'UserKnownHostsFile="{known_hosts}"', "GlobalKnownHostsFile=/dev/null"]
    if key is not None:
        options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
    given = shlex.split(environment.get("GIT_SSH_COMMAND", "")) if key is None else []
    program, *words = given or ["ssh"]
    ours = [word for option in options for word in ("-o", option)]
    return shlex.join([program, *ours, *(("-i", str(key)) if key is not None else ()), *words])


def require_known_hosts(file: Path | None) -> None:
    """See to it that the file of known hosts is there.

    Raises:
        ConfigurationError: it is not.
    """
    if file is not None and not file.is_file():
        raise ConfigurationError(
            f"update.known_hosts: there is no file {file}",
            advice="`ssh-keyscan HOST` prints a host's keys; compare their fingerprints with those that the "
            "host publishes before you keep them.",
        )


def deploy_key(file: Path | None, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return the private key's text and where it is from: the variable goes before the file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    given = environment.get(SSH_KEY, "")
    if given.strip():
        return given, SSH_KEY
    return (read_key(file, "update.ssh_key"), f"update.ssh_key: {file}") if file is not None else None


def read_key(file: Path, setting: str) -> str:
    """Return the text of a file with a private key.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"{setting}: {file} cannot be read: {why}",
            advice="Name the file with the private key, or give the key's content by the variable.",
        ) from error


def written_key(key: str, source: str, folder: Path, desk: Desk) -> Path:
    """Write a private key where only we can read it, once it is known to be usable without a question.

    Raises:
        ConfigurationError: it is no private key, or has a passphrase.
    """
    desk.redact.add(key)
    path = write_secret(folder / "key", "\n".join(key.strip().splitlines()) + "\n")
    looked = desk.run(Command(arguments=("ssh-keygen", "-y", "-P", "", "-f", str(path))), log="ssh-keygen")
    if not looked.succeeded:
        protected = "passphrase" in looked.stderr
        what = "has a passphrase, which nobody can type here" if protected else "is no private SSH key"
        raise ConfigurationError(
            f"{source} {what}",
            advice="Make a key for the pipeline alone: `ssh-keygen -t ed25519 -N '' -f deploy_key`. Give the "
            "content of deploy_key with all its lines; deploy_key.pub is for the server.",
        )
    return path


def write_secret(path: Path, text: str) -> Path:
    """Write a file that nobody else can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
