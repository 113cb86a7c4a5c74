"""What `pipeline init` writes for a repository of several models: a job for each that a change concerns."""

import json
from collections.abc import Iterator, Sequence

from pipeline import PROJECT
from pipeline.errors import ConfigurationError
from pipeline.init_forms import PLACEHOLDER, Needs, component, extras, pin, to_do

HANDED_ON = (
    *("GITOPS_USERNAME", "GITOPS_PASSWORD", "GITOPS_SSH_KEY", "GITOPS_GITHUB_APP_KEY"),
    "COSIGN_PASSWORD",
)
"""Secrets that the reusable workflow takes, beside those of a registry."""
_PIPELINE = r"""# Written by `pipeline init gitlab` for the models of this repository. Yours to change.
workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS
      when: never
    - if: $CI_COMMIT_BRANCH

stages: [test, deploy]

changed: # prints a child pipeline with the models that the change concerns
  stage: test
  image: python:3.12-trixie
  variables:
    GIT_DEPTH: "0"
    DELIVER_SOURCE: $CI_SERVER_URL/PROJECT.git
    DELIVER_REF: "COMMIT_OF" # put the commit of a release here
  script:
    - |
      own=$(mktemp -d)
      git init -q "$own/source"
      helper='!f() { echo username=gitlab-ci-token; echo "password=$CI_JOB_TOKEN"; }; f'
      git -C "$own/source" -c "credential.$CI_SERVER_URL.helper=$helper" \
        fetch -q --depth 1 "$DELIVER_SOURCE" "$DELIVER_REF"
      git -C "$own/source" checkout -q FETCH_HEAD
      RUNNER_TEMP=$own GITHUB_OUTPUT=$own/installed \
        python3 -I "$own/source/.github/scripts/action.py" install
      own_python=$(sed -n 's/^python=//p' "$own/installed")
    - $own_python -I -m pipeline matrix --gitlab --template /.gitlab/deliver.yml > child.yml
  artifacts:
    paths: [child.yml]

deliver:
  stage: deploy
  needs: [changed]
  trigger:
    include:
      - artifact: child.yml
        job: changed
    strategy: depend
"""
_SHORT = ("REGISTRY_USERNAME", "REGISTRY_PASSWORD")


def github(models: Sequence[Needs]) -> tuple[str, tuple[str, ...]]:
    """Return the workflow that calls the reusable one, and what to do in the repository's settings.

    Raises:
        ConfigurationError: a model needs a secret that the reusable workflow does not hand on.
    """
    secrets = _secrets(models)
    notes = (pin(), *(f"secret {name}" for name in secrets), *_notes(models, "github"))
    return "\n".join(_workflow(models, secrets)) + "\n", notes


def gitlab(models: Sequence[Needs]) -> tuple[str, tuple[str, ...]]:
    """Return what starts a child pipeline of the changed models, and what to do in the project's settings."""
    return _PIPELINE.replace("PROJECT", PROJECT).replace("COMMIT_OF", PLACEHOLDER), (
        pin(),
        *_notes(models, "gitlab"),
    )


def gitlab_child(models: Sequence[Needs]) -> str:
    """Return what the child pipeline includes once for each model: all that is the same for them."""
    return "\n".join(_child(models)) + "\n"


def _secrets(models: Sequence[Needs]) -> tuple[str, ...]:
    hosts = {each.host for model in models for each in model.passwords if each.host != "ghcr.io"}
    names: list[str] = list(_SHORT) if hosts else []
    for model in models:
        wanted = [name for name in (*model.reading, *model.writing, *model.signing) if name not in HANDED_ON]
        own = [each for each in model.passwords if each.host != "ghcr.io"]
        if own and (len(hosts) > 1 or len(model.registries) > 1):
            wanted += [f"REGISTRY_PASSWORD_{each.suffix}" for each in own]
        if wanted:
            raise ConfigurationError(
                f"{model.config} needs {', '.join(wanted)}, which the workflow for all models does not take",
                advice=f"Write each model's own: `pipeline init github -c {model.config}`, and so on.",
            )
        names += (*model.writing, *model.signing)
    return tuple(dict.fromkeys(names))


def _notes(models: Sequence[Needs], host: str) -> Iterator[str]:
    """Yield what else there is to do for any of the models, each once."""
    said = (note for model in models for note in to_do(model, host, environment=""))
    told = (note for note in dict.fromkeys(said) if not note.startswith(("secret ", "variable ")))
    yield from (note.replace("a step before the action", "the input `prepare`") for note in told)


def _workflow(models: Sequence[Needs], secrets: Sequence[str]) -> Iterator[str]:
    yield "# Written by `pipeline init github` for the models of this repository. Yours to change."
    yield "name: deliver"
    yield ""
    yield "on:"
    yield "  push:"
    yield f"    branches: [{json.dumps(models[0].branch)}]"
    yield "  pull_request:"
    yield ""
    yield "permissions: {}"
    yield ""
    yield "jobs:"
    yield "  models: # a job for each that a change concerns; for a pull request nothing is pushed"
    yield "    permissions: # what the jobs inside ask for, together; each gets its own part of it"
    yield "      contents: read"
    yield "      id-token: write"
    yield "      packages: write"
    yield "      pull-requests: write"
    yield "    # put the commit of a release in the place of the zeros"
    yield f"    uses: {PROJECT}/.github/workflows/deliver.yml@{PLACEHOLDER}"
    yield "    with:"
    yield f"      extras: {','.join(extras(models, 'github'))}"
    if _all_in_github_cache(models):
        yield "      build-cache: gha # GitHub's cache service, which only the action can reach"
    if secrets:
        yield "    secrets:"
        yield from (f"      {name}: ${{{{ secrets.{name} }}}}" for name in secrets)


def _all_in_github_cache(models: Sequence[Needs]) -> bool:
    having = [model for model in models if model.github_cache]
    others = [model for model in models if not model.github_cache]
    if having and others:
        raise ConfigurationError(
            f"{having[0].config} has `build.cache: gha`, and {others[0].config} has not; one workflow for "
            "all models hands GitHub's cache on to all or none",
            advice="Say the same in both, or write each model's own workflow: "
            f"`pipeline init github -c {having[0].config}`, and so on.",
        )
    return bool(having)


def _child(models: Sequence[Needs]) -> Iterator[str]:
    yield "# Written by `pipeline init gitlab`: what is the same for all models. Yours to change."
    yield "spec:"
    yield "  inputs:"
    yield "    working-directory:"
    yield "      default: ."
    yield "    name:"
    yield "      default: deliver"
    yield "---"
    handed_on = (
        "working-directory: $[[ inputs.working-directory ]]",
        "name: $[[ inputs.name ]]",
        "environment: production/$[[ inputs.working-directory ]] # GitLab bars older ones to the same",
    )
    yield from component(models, handed_on, in_child=True)
