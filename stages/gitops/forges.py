"""The host of a repository, by its address."""

import os
from collections.abc import Mapping

from stages.gitops.forge import Forge, Options, Place, provider_of
from stages.gitops.github import GitHub
from stages.gitops.gitlab import GitLab


def forge_of(
    url: str, options: Options, token: str | None, environment: Mapping[str, str] = os.environ
) -> Forge:
    """Return the host of a repository.

    Raises:
        ConfigurationError: the address is of no host, or nobody can tell whose it is.
    """
    place = Place.of(url)
    if provider_of(place, options.provider, environment) == "github":
        return GitHub(place=place, token=token, api_url=options.api_url)
    return GitLab(place=place, token=token, api_url=options.api_url)
