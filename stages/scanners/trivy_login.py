"""Which login Trivy gets for a download: one that is meant for exactly the host it asks."""

import os

from pipeline.desk import Desk
from stages.oci.authentication import environment_name

_OWN_LOGIN = {"TRIVY_USERNAME", "TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN"}


def hosts(repositories: tuple[str, ...]) -> set[str]:
    """Return the registries that these repositories are in."""
    return {repository.partition("/")[0] for repository in repositories}


def without_options(*, keep_login: bool = False) -> dict[str, str | None]:
    """Return the changes that keep TRIVY_… variables from changing what is looked at.

    Trivy's own login is meant for the host of the vulnerability database, and for no other.
    """
    kept = _OWN_LOGIN if keep_login else set()
    return {name: None for name in os.environ if name.startswith("TRIVY_") and name not in kept}


def login_environment(
    asked: set[str], databases: tuple[str, ...], registries: tuple[str, ...], desk: Desk
) -> dict[str, str | None]:
    """Return the environment of a download from these hosts, with a login where one is meant for them.

    Without one Trivy itself looks into the docker configuration, by host.
    """
    environment = without_options(keep_login=asked == hosts(databases))
    username, password = _login(asked, registries)
    if username and password:
        desk.redact.add(password)
        environment |= {"TRIVY_USERNAME": username, "TRIVY_PASSWORD": password}
    return environment


def _login(asked: set[str], registries: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return user and password from the environment; none goes to a host it is not meant for."""
    if len(asked) != 1:
        return None, None  # Trivy would show it to every mirror
    (host,) = asked
    suffixes = [f"_{environment_name(host)}"]
    if set(registries) == {host}:
        suffixes.append("")  # the short names are for the one registry that is configured
    for suffix in suffixes:
        username = os.environ.get(f"REGISTRY_USERNAME{suffix}")
        password = os.environ.get(f"REGISTRY_PASSWORD{suffix}")
        if username and password:
            return username, password
    return None, None
