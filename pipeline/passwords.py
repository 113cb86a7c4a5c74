"""A registry's password from standard input, for whoever wants it in no file and no variable of the job."""

import re
from collections.abc import MutableMapping
from typing import TextIO

from pipeline.errors import ConfigurationError

FLAG = "--password-stdin"
USER = re.compile(r"REGISTRY_USERNAME(?P<suffix>|_\w+)")


def take_password(stream: TextIO | None, environment: MutableMapping[str, str]) -> None:
    """Read a password, and set it as that of the user whom REGISTRY_USERNAME… names without one.

    Raises:
        ConfigurationError: there is nothing to read, or not one such user.
    """
    users = [found for name, value in environment.items() if value and (found := USER.fullmatch(name))]
    missing = [f"REGISTRY_PASSWORD{found['suffix']}" for found in users]
    missing = [name for name in missing if not environment.get(name)]
    if len(missing) != 1:
        several = f": {', '.join(sorted(missing))} are all missing" if missing else ""
        raise ConfigurationError(
            f"{FLAG} does not know whose password it is{several}",
            advice="Set REGISTRY_USERNAME, or REGISTRY_USERNAME_HOST where there are several registries, for "
            "one user, and no password for it.",
        )
    environment[missing[0]] = _read(stream)


def _read(stream: TextIO | None) -> str:
    try:
        password = "" if stream is None or stream.isatty() else stream.read().rstrip("\r\n")
    except UnicodeDecodeError:
        password = ""
    if not password:
        raise ConfigurationError(
            f"{FLAG}: there is no password on standard input",
            advice=f"Write it there: `pipeline run {FLAG} <password.txt`, or from a program that prints it.",
        )
    return password
