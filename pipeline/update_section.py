"""What pipeline.yaml says of the GitOps repository: where it is, which manifests change, and how."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pipeline.commit_section import GitHubAppSection, Message, PersonText, SigningSection, Trailers
from pipeline.section import Number, Seconds, Section, Words
from pipeline.wait_section import WaitSection

_NO_BRANCH = re.compile(r"^(-|/|refs/|$)|[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|//|@\{|(/|\.|\.lock)$")


def _require_branch(name: str) -> str:
    if _NO_BRANCH.search(name):
        raise ValueError(
            "expected the name of a branch, such as main, as git takes it and without refs/heads/"
        )
    return name


BranchName = Annotated[str, AfterValidator(_require_branch)]


def _require_address(url: str) -> str:
    try:
        if "://" in url:
            _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError(
            "expected the address of a git repository; with ssh:// a port stands behind the colon: "
            "write git@HOST:TEAM/NAME.git or ssh://git@HOST/TEAM/NAME.git"
        ) from error
    return url


class ParametersSection(Section):
    """Names of the Helm parameters of an Argo CD Application."""

    tag: str | None = None
    """Name of the parameter that holds the tag."""
    digest: str | None = None
    """Name of the parameter that holds the digest."""


class StrategySection(Section):
    """How a new image comes to its users: at first to a part of the requests, and to all of them later."""

    canary_percent: Annotated[int, Field(ge=0, le=99), Number]
    """Percent of the requests that a new image gets, until `pipeline promote --percent` says more: 10 for a
    canary, 0 for blue-green."""


class TargetSection(Section):
    """A manifest that names the image, and what tells the place where more than one is possible."""

    path: str
    """File or folder in the GitOps repository (without one: below pipeline.yaml)."""
    image: str | None = None
    """Image in the manifest that the pushed one replaces; default: the repository that was pushed to."""
    form: str | None = None
    """Form of the manifest, such as kubernetes, kserve or helm; default: told by its content."""
    kind: str | None = None
    """Only resources of this kind."""
    name: str | None = None
    """Only resources with this metadata.name."""
    namespace: str | None = None
    """Only resources with this metadata.namespace, or, where none states it, those that state none."""
    container: str | None = None
    """Only the container, or the volume, of this name."""
    field: str | None = None
    """Path of the value that names the image, or of the mapping of its parts: a.b[0]["key.with.dots"]."""
    marker: str | None = None
    """Only values that carry Flux's marker of this image policy, namespace:name."""
    parameters: ParametersSection = ParametersSection()
    """Helm parameters of an Argo CD Application that hold the tag and the digest."""
    strategy: StrategySection | None = None
    """Canary or blue-green, where the resource divides requests itself: KServe, Knative, Seldon Core 1.
    Default: a new image gets all requests."""


class AuthorSection(Section):
    """Who commits to the GitOps repository."""

    name: PersonText = "Model Image Pipeline"
    """Name in the commits."""
    email: PersonText = "pipeline@localhost"
    """E-mail address in the commits."""


class PullRequestSection(Section):
    """People review the change before it lands: one branch and one request for it, kept up to date."""

    branch: BranchName | None = None
    """Branch on which the change waits; default: model-image-pipeline/, the target branch, the image's name,
    and the first target's path and what else tells it, such as its name."""
    provider: Literal["github", "gitlab"] | None = None
    """Who hosts the repository; default: told by its address."""
    api_url: str | None = None
    """Address of the host's API; default: GitHub's https://HOST/api/v3 (https://api.github.com), GitLab's
    https://HOST."""
    labels: Words = ()
    """Labels of the request."""
    reviewers: Words = ()
    """Users who are asked for a review; on GitHub also teams, as organisation/team."""
    draft: bool = False
    """Open it as a draft."""
    auto_merge: bool = False
    """Have the host merge it as soon as its rules allow."""


class UpdateSection(Section):
    """The GitOps repository from which Argo CD or Flux rolls the image out."""

    repository: Annotated[str, AfterValidator(_require_address)] | None = None
    """URL of the git repository; default: the edit is shown as a diff and nothing is written."""
    branch: BranchName = "main"
    """Branch to commit to."""
    targets: tuple[TargetSection, ...] = ()
    """Manifests to edit, all in one commit."""
    author: AuthorSection = AuthorSection()
    """Author of the commits."""
    committer: AuthorSection | None = None
    """Committer of the commits; default: their author."""
    message: Message | None = None
    """Template of the message, above the trailers, with variables such as {image}, {tag}, {short_digest},
    {short_commit}, {branch} and {run}."""
    trailers: Trailers = Field(default={})
    """Trailers that are added to those of the pipeline, such as Signed-off-by: Robot <robot@example.com>."""
    pull_request: PullRequestSection | None = None
    """Ask people by pull request (GitLab: merge request); default: commit to the branch itself."""
    signing: SigningSection | None = None
    """How the commits are signed; default: not at all."""
    ssh_key: str | None = None
    """File with the private deploy key for SSH, without a passphrase. GITOPS_SSH_KEY, which holds the key
    itself, goes before it. Default: what ssh finds by itself."""
    known_hosts: str | None = None
    """File with the keys of hosts that are reached by SSH; default: ~/.ssh/known_hosts and the system's."""
    github_app: GitHubAppSection | None = None
    """GitHub App that may push; its commits start workflows, which those of GITHUB_TOKEN do not."""
    time_limit_s: Seconds = 180
    """How long to try again when other writers come first."""
    order: Literal["enforce", "warn", "ignore"] = "enforce"
    """An older build never replaces a newer one: `superseded`. Where nobody knows which one is newer,
    `enforce` refuses, and `warn` writes and says so; `ignore` compares nothing."""
    proof: Literal["auto", "require", "off"] = "auto"
    """Kustomize and Helm render what changes before and after the edit, and only the image may differ. Where
    the program is not there, `auto` goes on and says so, and `require` refuses; `off` proves nothing."""
    wait: WaitSection | None = None
    """Watch, after the commit, until the new image is live; default: a run ends with the commit."""

    @model_validator(mode="after")
    def _waits_for_something(self) -> Self:
        if self.wait is not None and self.pull_request is not None:
            raise ValueError(
                "`wait:` and `pull_request:` exclude each other: a request is merged later, by people"
            )
        if self.wait is not None and self.repository is None:
            raise ValueError("`wait:` needs `repository:`: without it nothing is committed")
        return self
