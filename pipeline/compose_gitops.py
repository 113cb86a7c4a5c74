"""The composition of everything that writes, or would write, to the GitOps repository."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import handover, stored
from pipeline.cascade import Configuration, read_config
from pipeline.compose_commits import commits
from pipeline.compose_verify import attested, recorded, source_of
from pipeline.config import Config
from pipeline.doctor import borrowed_desk
from pipeline.errors import ConfigurationError
from pipeline.interface import Policy, Stage
from pipeline.model import ManifestUpdate, PushedImage, Source
from pipeline.plan import Plan, make_plan
from pipeline.record import Record, Runs
from pipeline.redaction import Redactor
from pipeline.reference import Reference, Repository
from pipeline.registry_section import RegistrySection
from pipeline.report.phrases import describe
from pipeline.stored import Recorded
from pipeline.update_section import TargetSection
from pipeline.wait_section import WaitSection
from policies import load_policies
from stages.gitops.destination import Destination
from stages.gitops.forge import Options as RequestOptions
from stages.gitops.promotion import Promotion, deployed
from stages.gitops.repository import Author
from stages.gitops.rollback import Rollback
from stages.gitops.shift import Shift
from stages.manifests.interface import Target, Traffic
from stages.registries.connections import Registries
from stages.registries.options import LoginOptions, RegistryOptions
from stages.rollouts.argocd import ArgoCD
from stages.rollouts.cluster import Cluster
from stages.rollouts.interface import Watcher
from stages.rollouts.waiting import Wait
from stages.update import Update


def update(configuration: Configuration) -> Update:
    """Return the stage that updates the manifests."""
    return Update(destination=destination(configuration), root=configuration.root)


def destination(configuration: Configuration) -> Destination:
    """Return the GitOps repository that is written to."""
    section = configuration.values.update
    return Destination(
        image=configuration.values.image,
        repositories=configuration.values.repositories,
        model_image=configuration.values.model_image,
        model_repositories=configuration.values.model_repositories,
        repository=_git_address(section.repository, configuration.root),
        branch=section.branch,
        targets=tuple(map(target, section.targets)),
        author=Author(name=section.author.name, email=section.author.email),
        commits=commits(section, configuration.root),
        time_limit_s=section.time_limit_s,
        order=section.order,
        insecure=configuration.values.insecure_registries,
        options=options(configuration),
        request=_request(configuration),
        describe=describe,
        proof=section.proof,
        wait=_wait(section.wait, configuration.root),
    )


def _wait(section: WaitSection | None, root: Path) -> Wait | None:
    """Return what has to become live, those who apply it before what they apply."""
    if section is None:
        return None
    watchers: list[Watcher] = []
    if section.argocd is not None:
        given = section.argocd.model_dump(exclude={"ca_file"})
        ca_file = section.argocd.ca_file
        watchers.append(ArgoCD(**given, ca_file=root / Path(ca_file).expanduser() if ca_file else None))
    found = (section.flux, section.kubernetes)
    watchers += [Cluster(**one.model_dump()) for one in found if one is not None]
    return Wait(watchers=tuple(watchers), time_limit_s=section.time_limit_s, on_failure=section.on_failure)


def _request(configuration: Configuration) -> RequestOptions | None:
    """Return how people are asked; the branch is the same for every delivery to the same place."""
    section = configuration.values.update.pull_request
    if section is None:
        return None
    branch = section.branch or _request_branch(configuration.values)
    return RequestOptions(**section.model_dump(exclude={"branch"}), branch=branch)


def _request_branch(values: Config) -> str:
    """Return a branch that no other environment has: one of another base, or of another place in one file."""
    parts = [values.update.branch, values.image.rpartition("/")[2]]
    for first in values.update.targets[:1]:
        hints = (
            first.path,
            first.namespace,
            first.kind,
            first.name,
            first.container,
            first.field,
            first.marker,
        )
        parts.append("-".join(re.sub(r"[^A-Za-z0-9]+", "-", hint).strip("-") for hint in hints if hint))
    return "/".join(("model-image-pipeline", *filter(None, (part.strip("-") for part in parts))))


def target(section: TargetSection) -> Target:
    """Return a manifest that names the image, as the edits know it."""
    given = section.model_dump(exclude={"parameters", "strategy"})
    return Target(
        **given,
        tag_parameter=section.parameters.tag,
        digest_parameter=section.parameters.digest,
        traffic=Traffic(section.strategy.canary_percent) if section.strategy is not None else None,
    )


def policies(configuration: Configuration) -> tuple[Policy, ...]:
    """Return what is allowed."""
    choice = configuration.values.policies
    given = choice if isinstance(choice, str | dict) else list(choice)
    return load_policies(given, configuration.root, configuration.tree)


def compose_rollback(
    configuration: Configuration, source: Source, *, to: str | None = None, forced: bool = False
) -> Plan:
    """Return the plan of a rollback to a run, to a digest, or to what stood there before.

    Raises:
        ConfigurationError: there is no such run, it has pushed nothing, or the digest is cut off.
    """
    going = replace(destination(configuration), forced=forced)
    digest = stored.digest_of(to)
    runs = Runs(configuration.root)
    record = stored.by_digest(runs, digest) if digest is not None else None
    if to is not None and digest is None:
        record = stored.delivery(runs, to)
    image = stored.require_pushed(record) if record is not None else None
    return _plan(configuration, source, (Rollback(destination=going, to=digest, pushed=image),))


def compose_shift(
    configuration: Configuration, source: Source, *, percent: int, paths: Sequence[str] = ()
) -> Plan:
    """Return the plan that gives the image under way another part of the requests."""
    going = destination(configuration)
    return _plan(configuration, source, (Shift(destination=going, percent=percent, paths=tuple(paths)),))


def compose_promotion(  # noqa: PLR0913 - what the command line says
    path: Path,
    assignments: Sequence[str],
    source: Source,
    *,
    here: str,
    there: str,
    redact: Redactor,
    record: str | None = None,
    key: str | None = None,
    forced: bool = False,
) -> Plan:
    """Return the plan that takes what one environment runs to another one, judged by that one's policies.

    Raises:
        ConfigurationError: there is no such environment, or no intact record of what the first one runs.
        NotVerified: the other environment has `verify:`, and the image is not signed by whom it believes.
        RemoteError: the GitOps repository cannot be reached.
    """
    ours, theirs = (read_config(path, assignments, deployed_to=name) for name in (here, there))
    going = replace(destination(theirs), forced=forced)
    with borrowed_desk(ours.root, (*ours.secrets(), *theirs.secrets()), redact) as desk:
        references = deployed(destination(ours), desk)
    runs = Runs(ours.root)
    digests = [each.digest for each in references if each.repository in ours.values.repositories]
    if len(set(digests)) != 1 or digests[0] is None:
        raise ConfigurationError(
            f"{here} runs no single build of {ours.values.image}: {', '.join(map(str, references))}",
            advice=f"Deliver to {here} once, so that all its targets name one digest.",
        )
    if theirs.values.verify is not None:
        wanted = next(each for each in references if each.repository in ours.values.repositories)
        evidence, built = _attested(wanted, ours, theirs, redact)
    else:
        found = (
            handover.sealed(runs, record, key) if record is not None else stored.by_digest(runs, digests[0])
        )
        evidence = stored.evidence(found, digests[0])
        assert found is not None  # noqa: S101 - refused before
        assert found.source is not None  # noqa: S101 - refused before
        built = found.source
    promotion = Promotion(
        source_name=here,
        target_name=there,
        destination=going,
        built=built,
        registries=_registries(ours, theirs),
    )
    plan = _plan(theirs, source, (*evidence, promotion))
    return replace(plan, policies=policies(theirs), built=built)


def _attested(
    reference: Reference, ours: Configuration, theirs: Configuration, redact: Redactor
) -> tuple[tuple[Recorded, ...], Source]:
    """Return what is attested of the image by whom the other environment believes, and its commit."""
    section = theirs.values.verify
    assert section is not None  # noqa: S101 - asked for
    with borrowed_desk(ours.root, (*ours.secrets(), *theirs.secrets()), redact) as desk:
        found = attested(reference, _registries(ours, theirs), section, theirs.root, desk)
    return recorded(found, ours.values.model_repositories), source_of(found)


def preview(
    configuration: Configuration, redact: Redactor, *, root: Path | None = None, run: str | None = None
) -> ManifestUpdate:
    """Return what a recorded run would commit now; to a folder, nobody else is asked.

    Raises:
        ConfigurationError: no run has built an image, or a manifest cannot be edited.
        RemoteError: the GitOps repository cannot be reached.
    """
    runs = Runs(configuration.root)
    source, image = _image(stored.by_name(runs, run)) if run is not None else stored.newest_image(runs)
    with borrowed_desk(configuration.root, configuration.secrets(), redact) as desk:
        return update(configuration).preview(source, image, desk, root=root)


def _image(record: Record) -> tuple[Source, PushedImage]:
    image = stored.image_of(record)
    if image is None or record.source is None:
        raise ConfigurationError(f"the run {record.run} has built no image", advice="Name another run.")
    return record.source, image


def _plan(configuration: Configuration, source: Source, stages: Sequence[Stage]) -> Plan:
    return make_plan(
        source=source,
        stages=stages,
        skip={},
        policies=(),
        settings=configuration.settings(),
        secrets=configuration.secrets(),
    )


def _registries(*environments: Configuration) -> Registries:
    """Return how to reach the registries of several environments."""
    values = [each.values for each in environments]
    repositories = (*(name for each in values for name in (*each.repositories, *each.model_repositories)),)
    said: dict[Repository, RegistryOptions] = {}
    for each in environments:
        said.update(options(each))
    insecure = tuple(dict.fromkeys(host for each in values for host in each.insecure_registries))
    return Registries(repositories=tuple(dict.fromkeys(repositories)), insecure=insecure, options=said)


def options(configuration: Configuration) -> dict[Repository, RegistryOptions]:
    """Return what is said of each repository; where we mount from, we are who we are to that host."""
    sections = configuration.values.registry_sections
    found = {name: _registry_options(section, configuration.root) for name, section in sections.items()}
    near = {name.host: RegistryOptions(kind=said.kind, login=said.login) for name, said in found.items()}
    mounted = {name: near[name.host] for name in mounts(configuration) if name.host in near}
    return {**mounted, **found}


def mounts(configuration: Configuration) -> tuple[Repository, ...]:
    """Return the repositories that may hold the weights already."""
    return tuple(map(Repository, configuration.values.push.mount_from))


def _registry_options(section: RegistrySection, root: Path) -> RegistryOptions:
    return RegistryOptions(
        kind=section.kind,
        create=section.create,
        immutable=section.immutable,
        scan_on_push=section.scan_on_push,
        encryption=section.encryption,
        tags=section.tags,
        lifecycle=root / section.lifecycle if section.lifecycle else None,
        login=LoginOptions(**section.login.model_dump()),
    )


def _git_address(text: str | None, root: Path) -> str | None:
    """Return the address; a relative path is taken from the folder of pipeline.yaml, as all others are."""
    return str(root / Path(text).expanduser()) if text is not None and ":" not in text else text
