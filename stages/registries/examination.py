"""What the plan and the doctor ask of a registry: whether a push would succeed, without one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, TagConflict, ToolMissing
from pipeline.model import Check, ImageTag, Problem
from pipeline.reference import Repository
from stages.oci.authentication import Credentials
from stages.oci.distribution import RepositoryClient
from stages.oci.trial_upload import try_upload
from stages.registries.connections import Registries
from stages.registries.interface import Registry, RepositoryState
from stages.registries.readiness import explained, in_words_of, in_words_of_tag

NOT_YET = "no upload was tried: the repository has to be made first"
PROBLEMS: Mapping[type[PipelineError], Problem] = {
    ConfigurationError: Problem.CONFIGURATION,
    ToolMissing: Problem.TOOL,
    TagConflict: Problem.TAG,
}


def examine(
    repository: Repository, registries: Registries, desk: Desk, *, tags: Sequence[ImageTag] = ()
) -> Check:
    """Ask a registry to let us in with the right to push, and what it holds under our tags already."""
    return _check(repository, registries, desk, tags=tags)


def diagnose(repository: Repository, registries: Registries, desk: Desk, *, write: bool) -> Check:
    """Ask what a plan asks, and whether blobs can be mounted; with `write`, upload a little and cancel it."""
    return _check(repository, registries, desk, mounts=True, write=write)


def examine_source(repository: Repository, registries: Registries, desk: Desk) -> Check:
    """Say whether there is anything to mount from; where not, the weights are uploaded."""
    subject = f"mount from {repository}"
    try:
        registry = registries.of(repository)
        with registries.asked(repository, registry, desk) as client, explained(registry, repository):
            there = replace(client, actions="pull").exists()
    except PipelineError as error:
        return Check(subject=subject, found=f"what it has will be uploaded again: {error.message}")
    return Check(subject=subject, found="there" if there else "nothing is there; is the name right?")


def _check(  # noqa: PLR0913 - each is a question more
    repository: Repository,
    registries: Registries,
    desk: Desk,
    *,
    tags: Sequence[ImageTag] = (),
    mounts: bool = False,
    write: bool = False,
) -> Check:
    subject = f"registry {repository}"
    try:
        registry = registries.of(repository)
        with registries.asked(repository, registry, desk) as client, explained(registry, repository):
            found = [_login(client.log_in())]
            state = registry.inspect(client, tags[0].tag if tags else None)
            found += _told_of(state, registry, client, tags)
            if mounts:
                found.append("blobs can be mounted" if registry.mounts else "blobs are not mounted here")
            if write:
                found.append(NOT_YET if state.made_apart else try_upload(client))
    except PipelineError as error:
        problem = PROBLEMS.get(type(error), Problem.REMOTE)
        return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
    return Check(subject=subject, found="; ".join(found))


def _login(credentials: Credentials | None) -> str:
    if credentials is None:
        return "lets us in without a login"
    return f"logged in as {credentials.username} (from {credentials.origin})"


def _told_of(
    state: RepositoryState, registry: Registry, client: RepositoryClient, tags: Sequence[ImageTag]
) -> Iterator[str]:
    """Yield what is known of the repository and of its tags; `state` is of the first one."""
    yield from in_words_of(state, client.repository, tags[0] if tags else None)
    for tag in tags[1:]:
        further = registry.inspect(client, tag.tag)
        in_words_of(further, client.repository, tag)  # refuses what cannot be
        yield from in_words_of_tag(further, tag)
