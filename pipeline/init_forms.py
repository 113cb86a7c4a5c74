"""What `pipeline init` writes, line by line: nothing is asked for that the configuration does not use."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline import PROJECT

PLACEHOLDER = "0" * 40
"""Where the commit of a release belongs: the reader has to put it there, and cannot overlook it."""
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
TOKENS = {"aws": "AWS_ID_TOKEN", "google": "GCP_ID_TOKEN", "azure": "AZURE_ID_TOKEN"}
"""GitLab's identity tokens, as templates/deliver.yml names them."""
_PLAIN_NAMES = ("REGISTRY_USERNAME", "GITOPS_USERNAME", "MLFLOW_TRACKING_URI")
"""What is no secret: a variable of the CI host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A registry that is pushed to: its host, what it is, and how its variables end."""

    host: str
    kind: str
    suffix: str
    provider: str | None = None
    """Google: the provider of the workload identity pool."""
    token_variable: str | None = None
    """The variable of the identity token, where pipeline.yaml names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the jobs need: names of secrets, never their values."""

    image: str
    folder: str
    file: str
    registries: tuple[Registry, ...]
    clouds: tuple[str, ...]
    extras: tuple[str, ...]
    weights: str
    """The URL of the weights; empty where they are in the repository."""
    reading: tuple[str, ...]
    """Secrets with which weights and dependencies are read: every job needs them."""
    writing: tuple[str, ...]
    """Secrets with which manifests are written."""
    signing: tuple[str, ...] = ()
    """Secrets with which images are signed."""
    repository: str | None = None
    """What the CI host calls the repository; None where there is no origin yet."""
    branch: str = "main"
    """The branch that is delivered from."""
    github_cache: bool = False
    """The build's cache lies in GitHub's service, which the action has to hand on."""
    keyless: bool = False
    """Images are signed by the identity of the job."""
    signs: bool = False
    """Images are signed, by whatever key."""
    tests: bool = True
    """There are tests, which need packages of their own."""
    paths: tuple[str, ...] = ()
    """Patterns of the files whose changes concern it; empty: all of them do."""

    @property
    def short_name(self) -> str:
        """The last part of the image's name."""
        return self.image.rpartition("/")[2]

    @property
    def config(self) -> str:
        """The path of pipeline.yaml from the top of the repository."""
        return self.file if self.folder == "." else f"{self.folder}/{self.file}"

    @property
    def passwords(self) -> tuple[Registry, ...]:
        """The registries that are logged in to by a user's name and a password."""
        return tuple(each for each in self.registries if each.kind == "generic")


def github(needs: Needs) -> tuple[str, tuple[str, ...]]:
    """Return the workflow, and what to do in the repository's settings."""
    return "\n".join(_workflow(needs)) + "\n", (pin(), *to_do(needs, "github"))


def gitlab(needs: Needs) -> tuple[str, tuple[str, ...]]:
    """Return the pipeline, and what to do in the project's settings."""
    return "\n".join(_pipeline(needs)) + "\n", (pin(), *to_do(needs, "gitlab"))


def pin() -> str:
    """Return the note that nobody may overlook."""
    return f"replace {PLACEHOLDER[:7]}… by the commit of the release that you want to run"


def to_do(needs: Needs, host: str, *, environment: str = "production") -> tuple[str, ...]:
    """Return what a configuration asks people for on a CI host: secrets, trust, the weights."""
    own = _github_notes(needs, environment) if host == "github" else _gitlab_notes(needs)
    notes = (*_weights_note(needs), *_tests_note(needs, host), *_cosign_note(needs, host))
    return (*own, *notes, *_no_gitops_note(needs))


def _github_notes(needs: Needs, environment: str) -> Iterator[str]:
    named = sorted({name for name in _names(needs) if "GHCR_IO" not in name})
    yield from (f"variable {name}" for name in named if name.startswith(_PLAIN_NAMES))
    yield from (f"secret {name}" for name in named if not name.startswith(_PLAIN_NAMES))
    place = f"environment:{environment}" if environment else f"ref:refs/heads/{needs.branch}"
    subject = f"repo:{needs.repository or 'TEAM/REPOSITORY'}:{place}"
    for cloud in needs.clouds:
        yield f"{cloud}: trust the identity tokens of the subject {subject} (docs/registries.md)"


def _gitlab_notes(needs: Needs) -> Iterator[str]:
    named = sorted({name for name in _names(needs) if "REGISTRY_GITLAB_COM" not in name})
    yield from (f"CI/CD variable {name}, masked and protected" for name in named if name not in needs.reading)
    for name, why in (*((name, "the build") for name in needs.reading), ("GITLAB_TOKEN", "the note")):
        yield f"CI/CD variable {name}, masked; not protected: {why} of merge requests needs it"
    for each in needs.registries:
        token = TOKENS.get(_CLOUD_OF.get(each.kind, ""), "")
        if token and each.token_variable is None:
            yield f"pipeline.yaml: `login: {{id_token_variable: {token}}}` for {each.host}"
    subject = f"project_path:{needs.repository or 'TEAM/PROJECT'}:ref_type:branch:ref:{needs.branch}"
    for cloud in needs.clouds:
        yield f"{cloud}: trust the identity tokens of the subject {subject} (docs/gitlab.md)"


_CLOUD_OF = {"ecr": "aws", "artifact_registry": "google", "acr": "azure"}


def _workflow(needs: Needs) -> Iterator[str]:
    yield f"# Written by `pipeline init github` for {needs.config}. Yours to change."
    yield f"name: deliver {needs.short_name}"
    yield ""
    yield "on:"
    yield "  push:"
    yield f"    branches: [{json.dumps(needs.branch)}]"
    yield from _paths(needs)
    yield "  pull_request:"
    yield from _paths(needs)
    yield ""
    yield "permissions: {}"
    yield ""
    yield "concurrency: # a newer commit of a pull request ends the run before it; a delivery is finished"
    yield f"  group: deliver-{needs.short_name}-${{{{ github.ref }}}}"
    yield "  cancel-in-progress: ${{ github.event_name == 'pull_request' }}"
    yield ""
    yield "jobs:"
    yield "  check: # tests, builds, scans and measures; nothing is pushed, and a fork reaches no secret"
    yield "    name: check"
    yield "    if: github.event_name == 'pull_request'"
    yield from _job(needs, ("contents: read", "pull-requests: write # the comment with the verdicts"))
    yield from _environment(("GITHUB_TOKEN: ${{ github.token }}", *map(_secret, needs.reading)))
    yield ""
    yield "  deliver:"
    yield "    name: deliver"
    yield "    if: github.event_name == 'push'"
    yield "    environment: production # its rules say who may deliver, and it keeps the secrets"
    yield from _job(needs, ("contents: read", *_permissions(needs)))
    yield from _environment(tuple(_variables(needs)))


def _paths(needs: Needs) -> Iterator[str]:
    if needs.paths:
        yield f"    paths: {json.dumps(needs.paths)}"


def _job(needs: Needs, permissions: tuple[str, ...]) -> Iterator[str]:
    yield "    runs-on: ubuntu-24.04"
    yield "    timeout-minutes: 60"
    yield "    permissions:"
    yield from (f"      {permission}" for permission in permissions)
    yield "    steps:"
    yield f"      - uses: {CHECKOUT}"
    yield "        with:"
    yield "          fetch-depth: 0 # tags and history, for `{version}` in tags"
    yield "          persist-credentials: false"
    yield f"      - uses: {PROJECT}@{PLACEHOLDER} # put the commit of a release here"
    yield "        with:"
    yield f"          config: {json.dumps(needs.config)}"
    yield f"          extras: {','.join(extras([needs], 'github'))}"
    if needs.github_cache:
        yield "          build-cache: gha # GitHub's cache service, which only the action can reach"


def _permissions(needs: Needs) -> Iterator[str]:
    uses = [f"logs in to {', '.join(needs.clouds)} without a secret"] if needs.clouds else []
    uses += ["signs the image without a key"] if needs.keyless else []
    if uses:
        yield f"id-token: write # {', and '.join(uses)}"
    if any(each.host == "ghcr.io" for each in needs.registries):
        yield "packages: write # pushes to ghcr.io"


def _variables(needs: Needs) -> Iterator[str]:
    for each in needs.passwords:
        if each.host == "ghcr.io":
            yield f"REGISTRY_USERNAME_{each.suffix}: ${{{{ github.actor }}}}"
            yield f"REGISTRY_PASSWORD_{each.suffix}: ${{{{ github.token }}}}"
        else:
            yield _secret(f"REGISTRY_USERNAME_{each.suffix}")
            yield _secret(f"REGISTRY_PASSWORD_{each.suffix}")
    yield from map(_secret, dict.fromkeys((*needs.reading, *needs.writing, *needs.signing)))


def _secret(name: str) -> str:
    kind = "vars" if name.startswith(_PLAIN_NAMES) else "secrets"
    return f"{name}: ${{{{ {kind}.{name} }}}}"


def _environment(variables: tuple[str, ...]) -> Iterator[str]:
    if variables:
        yield "        env:"
        yield from (f"          {variable}" for variable in variables)


def _pipeline(needs: Needs) -> Iterator[str]:
    yield f"# Written by `pipeline init gitlab` for {needs.config}. Yours to change."
    yield "workflow:"
    yield "  rules:"
    yield '    - if: $CI_PIPELINE_SOURCE == "merge_request_event"'
    yield "    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS"
    yield "      when: never"
    yield "    - if: $CI_COMMIT_BRANCH"
    yield ""
    yield from component([needs], (f"working-directory: {json.dumps(needs.folder)}",))


def component(models: Sequence[Needs], own: Sequence[str], *, in_child: bool = False) -> Iterator[str]:
    """Yield what includes GitLab's component, with inputs of its own and those that all the models need.

    In a child pipeline it is included as a project's file: a component's address begins with a variable, and
    that is empty there on older GitLabs.
    """
    if any(each.host == "registry.gitlab.com" for model in models for each in model.passwords):
        yield "variables:"
        yield "  REGISTRY_USERNAME_REGISTRY_GITLAB_COM: $CI_REGISTRY_USER"
        yield "  REGISTRY_PASSWORD_REGISTRY_GITLAB_COM: $CI_REGISTRY_PASSWORD"
        yield ""
    yield "include:"
    yield f"  # put the commit of a release in the place of {PLACEHOLDER[:7]}…, twice"
    if in_child:
        yield f"  - project: {PROJECT} # no component: variables may be empty in a child pipeline"
        yield f'    ref: "{PLACEHOLDER}"'
        yield "    file: /templates/deliver.yml"
    else:
        yield f"  - component: $CI_SERVER_FQDN/{PROJECT}/deliver@{PLACEHOLDER}"
    yield "    inputs:"
    yield f'      ref: "{PLACEHOLDER}"'
    yield from (f"      {line}" for line in own)
    yield f"      extras: {' '.join(extras(models, 'gitlab'))}"
    clouds = tuple(dict.fromkeys(cloud for model in models for cloud in model.clouds))
    if clouds:
        yield f"      cloud: {clouds[0] if len(clouds) == 1 else 'all'}"
    if any(model.keyless for model in models):
        yield "      signing: keyless"
    providers = [each.provider for model in models for each in model.registries if each.provider is not None]
    yield from (f"      google-audience: https://iam.googleapis.com/{provider}" for provider in providers[:1])


def extras(models: Sequence[Needs], client: str) -> tuple[str, ...]:
    """Return the optional parts that the models need, and the one that writes comments."""
    return tuple(dict.fromkeys((*(extra for model in models for extra in model.extras), client)))


def _names(needs: Needs) -> Iterator[str]:
    for each in needs.passwords:
        yield from (f"REGISTRY_{what}_{each.suffix}" for what in ("USERNAME", "PASSWORD"))
    yield from (*needs.reading, *needs.writing, *needs.signing)


def _weights_note(needs: Needs) -> Iterator[str]:
    if needs.weights:
        yield f"let the jobs read the weights of {needs.weights} (docs/models.md)"


def _tests_note(needs: Needs, host: str) -> Iterator[str]:
    where = {
        "github": "a step before the action that installs",
        "gitlab": "the input `prepare` that installs",
    }
    if needs.tests:
        yield f"{where[host]} what your tests need (docs/{host}.md)"


def _cosign_note(needs: Needs, host: str) -> Iterator[str]:
    where = {"github": "on the runners", "gitlab": "in the image of the jobs (the input `image`)"}
    if needs.signs:
        yield f"cosign 3 {where[host]}, which signs (docs/attestations.md)"


def _no_gitops_note(needs: Needs) -> Iterator[str]:
    if not needs.writing:
        yield "`update.repository` in pipeline.yaml, once manifests shall be written"
