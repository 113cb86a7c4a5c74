"""What to look at when a registry without an adapter of its own does not let us in.

Sources: Docker Hub, "Access tokens"; GitHub, "Working with the Container registry"; GitLab, "Authenticate
with the container registry"; goharbor/harbor#966.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What to look at, by what the registry said."""

    unknown: str = ""
    """It does not know user and password."""
    not_allowed: str
    """It knows the user, who may not push there."""


HINTS = {
    "docker.io": Hints(
        unknown="Where the account has two-factor authentication, an access token stands in for the password "
        "(hub.docker.com, Account settings, Personal access tokens).",
        not_allowed="An access token needs Read & Write, and the user a place in that namespace.",
    ),
    "ghcr.io": Hints(
        unknown="The password is a token, not that of GitHub; GITHUB_TOKEN ends with its job.",
        not_allowed="In GitHub Actions the job needs `permissions:` with `packages: write`, and a package "
        "that another repository made lets this one in under its settings, Manage Actions access. A personal "
        "token needs `write:packages`.",
    ),
    "registry.gitlab.com": Hints(
        unknown="In a job they are CI_REGISTRY_USER and CI_REGISTRY_PASSWORD, which end with it.",
        not_allowed="A job may push to its own project's registry alone, whose path begins with the "
        "project's; a deploy token needs `write_registry`.",
    ),
}
ANY_OTHER = Hints(
    not_allowed="Some registries, Harbor among them, say the same of a project that does not exist: is the "
    "name right?"
)


def hints(host: str) -> Hints:
    """Return what is known of the registry behind a host."""
    return HINTS.get(host, ANY_OTHER)
