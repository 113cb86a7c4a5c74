"""What a host of git repositories must offer for changes that people review before they land."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pipeline.errors import ConfigurationError
from pipeline.model import Check

Provider = Literal["github", "gitlab"]
_SSH_SHORT = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")
_PUBLIC: Mapping[str, Provider] = {"github.com": "github", "gitlab.com": "gitlab"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How requests are made."""

    branch: str
    """The branch on which the change stands until it is merged."""
    provider: Provider | None = None
    """Who hosts the repository; None: told by its address."""
    api_url: str | None = None
    """Where the host's API is; None: told by the repository's address."""
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    draft: bool = False
    auto_merge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a pull or merge request shall be."""

    branch: str
    base: str
    title: str
    body: str
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    """Names of users; on GitHub also teams, as `organisation/team`."""
    draft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pull or merge request as its host knows it."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    title: str = ""
    body: str = ""
    made: bool = False
    """Whether it was opened just now."""


class Forge(Protocol):
    """A host of git repositories, for one of its repositories."""

    @property
    def noun(self) -> str:
        """What a request is called there."""
        ...

    def check(self) -> Check:
        """Return whether the host lets us in and knows the repository."""
        ...

    def newest(self, branch: str, base: str) -> Request | None:
        """Return the open request from a branch to a base, else the newest that was merged or closed.

        Raises:
            RemoteError: the host refuses, or cannot be reached.
        """
        ...

    def open(self, wish: Wish) -> Request:
        """Open a request; the one that another writer has opened meanwhile is updated.

        Raises:
            RemoteError: the host refuses, or cannot be reached.
        """
        ...

    def update(self, request: Request, wish: Wish) -> Request:
        """Give an open request this title and body, and the labels and reviewers that it lacks.

        Raises:
            RemoteError: the host refuses, or cannot be reached.
        """
        ...

    def merge_when_ready(self, request: Request, commit: str) -> str:
        """Have the host merge this commit as soon as its rules allow; return why it will not, or nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository on a host, as the host's API names it."""

    scheme: str
    host: str
    """With the port, if one is said."""
    path: str
    """Such as `organisation/repository`; on GitLab with all groups."""

    @classmethod
    def of(cls, url: str) -> "Place":
        """Return where a git address leads to.

        Raises:
            ConfigurationError: the address is of no host.
        """
        short = _SSH_SHORT.fullmatch(url) if "://" not in url else None
        parts = urlsplit(url)
        host, path = (short[1], short[2]) if short else (parts.netloc.rpartition("@")[2], parts.path)
        path = path.strip("/").removesuffix(".git")
        if not host or "/" not in path:
            raise ConfigurationError(
                f"update.repository: {url} is not a repository of GitHub or GitLab",
                advice="Pull requests need an address such as https://github.com/organisation/repository; "
                "remove `pull_request:` of `update:` to commit directly.",
            )
        if parts.scheme in {"http", "https"}:
            return cls(scheme=parts.scheme, host=host, path=path)
        return cls(scheme="https", host=host.partition(":")[0], path=path)


def provider_of(place: Place, said: Provider | None, environment: Mapping[str, str]) -> Provider:
    """Return who hosts a repository: as it is said, else by its host's name, else as this job's host.

    Raises:
        ConfigurationError: nobody can tell.
    """
    name = place.host.partition(":")[0]
    if said is not None:
        return said
    if name in _PUBLIC:
        return _PUBLIC[name]
    if name == environment.get("CI_SERVER_HOST"):
        return "gitlab"
    if name and name == urlsplit(environment.get("GITHUB_SERVER_URL", "")).hostname:
        return "github"
    for provider in _PUBLIC.values():
        if provider in name.split(".")[0]:
            return provider
    raise ConfigurationError(
        f"update.pull_request: nothing tells whether {place.host} is GitHub or GitLab",
        advice="Say `provider: github` or `provider: gitlab` below `pull_request:` of `update:`.",
    )
