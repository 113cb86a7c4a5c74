"""Which login Trivy gets for a download: one that is meant for exactly the host it asks."""

import os

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from stages.oci.authentication import environment_name
from stages.registries.credentials import DockerConfig

_OWN_LOGIN = {"TRIVY_USERNAME", "TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN"}


def host_of(repository: str) -> str:
    """Return the registry that a repository is in."""
    return repository.partition("/")[0]


def without_options(*, keep_login: bool = False) -> dict[str, str | None]:
    """Return the changes that keep TRIVY_… variables from changing what is looked at.

    Trivy's own login is meant for the hosts of the vulnerability database, and for no others.
    """
    kept = _OWN_LOGIN if keep_login else set()
    return {name: None for name in os.environ if name.startswith("TRIVY_") and name not in kept}


def login_environment(
    host: str, databases: tuple[str, ...], registries: tuple[str, ...], desk: Desk
) -> dict[str, str | None]:
    """Return the environment of a download from this host, with a login where one is meant for it.

    Without one Trivy itself looks into the docker configuration, by host.
    """
    environment = without_options(keep_login=host in map(host_of, databases))
    username, password = _login(host, registries)
    if username and password:
        desk.redact.add(password)
        environment |= {"TRIVY_USERNAME": username, "TRIVY_PASSWORD": password}
    return environment


def is_logged_in(host: str, databases: tuple[str, ...], registries: tuple[str, ...]) -> bool:
    """Tell whether Trivy has a login for this host, of the environment or of docker's configuration."""
    own = host in map(host_of, databases) and any(os.environ.get(name) for name in _OWN_LOGIN)
    try:
        return own or _login(host, registries)[1] is not None or DockerConfig.load().find(host) is not None
    except PipelineError:  # one that cannot be read is a mistake to mend
        return True


def _login(host: str, registries: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return user and password from the environment; none goes to a host it is not meant for."""
    suffixes = [f"_{environment_name(host)}"]
    if set(registries) == {host}:
        suffixes.append("")  # the short names are for the one registry that is configured
    for suffix in suffixes:
        username = os.environ.get(f"REGISTRY_USERNAME{suffix}")
        password = os.environ.get(f"REGISTRY_PASSWORD{suffix}")
        if username and password:
            return username, password
    return None, None
