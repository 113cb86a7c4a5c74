"""Push the image to every configured registry, or deliver it as a folder where there is none."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, TagConflict, ToolMissing
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Check,
    DiskNeed,
    Image,
    Problem,
    Pushed,
    PushedImage,
    PushedReference,
    ScanReport,
)
from pipeline.reference import Reference, Repository, Tag
from stages.models.disk_needs import export_needs
from stages.models.interface import Files
from stages.models.model import Model
from stages.oci.distribution import RepositoryClient
from stages.oci.export import export
from stages.oci.image_content import ImageContent
from stages.oci.progress import in_words
from stages.oci.push_image import ImagePush
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Transport
from stages.registries import recognise
from stages.registries.interface import Registry
from stages.registries.options import RegistryOptions
from stages.registries.readiness import explained, in_words_of, require_fitting

PROBLEMS: Mapping[type[PipelineError], Problem] = {
    ConfigurationError: Problem.CONFIGURATION,
    ToolMissing: Problem.TOOL,
    TagConflict: Problem.TAG,
}
SESSIONS = "uploads"  # in the cache
IMPATIENT = Retries(attempts=2)  # a plan answers soon


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Push the image, and the weights' own if there is one; return the digests that the registries answered.

    A tag is written once: the same digest there is success, another one is a conflict. A tag that ends in
    `-dirty` names no commit's content, so it moves. A dry run sends nothing and gives no references.
    """

    layout_folder: Path
    """Where the image goes, as an OCI image layout, when there is no repository."""
    repositories: tuple[Repository, ...] = ()
    model_repositories: tuple[Repository, ...] = ()
    """Where the weights go when they are an image of their own."""
    insecure: tuple[str, ...] = ()
    """Hosts that may be spoken to without TLS; loopback always may."""
    mount_from: tuple[Repository, ...] = ()
    """Further repositories that may hold the weights already, such as where the image went until now."""
    files: Files | None = None
    """Where the weights are read from; default: the folder that the image names."""
    options: Mapping[Repository, RegistryOptions] = field(default_factory=dict)
    """What the configuration says of a repository beside where it is."""
    tag: Tag | None = None
    """The tag that the image is going to have, for the check; None: not known yet."""
    weights: Model | None = None
    """The model, to tell how much of it a folder will have to hold."""

    name: ClassVar[str] = "push"
    needs: ClassVar[tuple[type[Artifact], ...]] = (BuiltImage, ScanReport, BenchmarkReport)
    gives: ClassVar[type[PushedImage]] = PushedImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Ask every registry to let us in, with the right to push, and what is there already."""
        if not self.repositories:
            return (Check(subject="registry", found=f"none: the image goes to {self.layout_folder}"),)
        pushed_to = (*self.repositories, *self.model_repositories)
        return (
            *(self._check(repository, desk) for repository in pushed_to),
            *(self._check_mount(repository, desk) for repository in self.mount_from),
        )

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what the folder takes that gets the image where there is no registry."""
        del have
        if self.repositories or self.weights is None:
            return ()
        return export_needs(self.weights, self.layout_folder, desk)

    def identity(self, have: Artifacts) -> str | None:
        """Return None: only the registry knows what it still holds, and asking it is cheap."""
        del have
        return None

    def run(self, have: Artifacts, desk: Desk) -> PushedImage:
        """Push to one repository after the other, or export where there is none.

        Raises:
            PipelineError: a registry refused, cannot be reached, or has another digest under the tag.
        """
        image = have[BuiltImage]
        own = image.model_image
        # the weights first, so that nobody can pull an application whose weights are not there
        weights = self._deliver(own, self.model_repositories, desk) if own is not None else None
        application = self._deliver(image, self.repositories, desk)
        return PushedImage(**dict(application), model_image=weights)

    def _deliver(self, image: Image, repositories: tuple[Repository, ...], desk: Desk) -> Pushed:
        content = ImageContent.of(image, self.files)
        layout: Path | None = None
        references: tuple[PushedReference, ...] = ()
        if not self.repositories:
            named = Reference(image.name).repository
            layout = export(content, image.tag, self.layout_folder, desk.say, repository=named)
        elif desk.dry_run:
            _say_only(image, content, repositories, desk)
        else:
            references = self._push(image, content, repositories, desk)
        return Pushed(
            name=image.name, tag=image.tag, digest=image.digest, references=references, layout=layout
        )

    def _push(
        self, image: Image, content: ImageContent, repositories: tuple[Repository, ...], desk: Desk
    ) -> tuple[PushedReference, ...]:
        registries = {each: self._registry(each) for each in repositories}
        for repository, registry in registries.items():
            require_fitting(content, registry, repository)
        Sessions(desk.cache / SESSIONS).clean()
        transports: dict[object, Transport] = {}
        pushed: list[PushedReference] = []
        for repository, registry in registries.items():
            login = (repository.host, self._options(repository).login)
            if login not in transports:
                transports[login] = _transport(registry, desk)
            client = _client(repository, registry, transports[login], desk)
            with explained(registry, repository):
                registry.prepare(repository, desk)
                known = self._siblings(repository, repositories, pushed)
                if not (any(each.host == repository.host for each in known) and registry.mounts):
                    known = ()
                push = ImagePush(
                    content=content, tag=image.tag, client=client, mount_from=known, say=desk.say
                )
                reference = push.run()
                evidence = registry.verify(client, content, image.tag)
            desk.say(f"{repository}: read back as it was pushed ({evidence.asked})")
            pushed.append(reference.model_copy(update={"evidence": evidence}))
        return tuple(pushed)

    def _siblings(
        self,
        repository: Repository,
        repositories: tuple[Repository, ...],
        pushed: Sequence[PushedReference],
    ) -> tuple[Repository, ...]:
        """Return where the blobs may be already: first where this run has pushed them."""
        known = (*(each.repository for each in pushed), *self.mount_from, *repositories)
        return tuple(dict.fromkeys(each for each in known if each != repository))

    def _check(self, repository: Repository, desk: Desk) -> Check:
        subject = f"registry {repository}"
        try:
            registry = self._registry(repository)
            with self._asked(repository, registry, desk) as client, explained(registry, repository):
                credentials = client.log_in()
                found = in_words_of(registry.inspect(client, self.tag), repository, self.tag)
        except PipelineError as error:
            problem = PROBLEMS.get(type(error), Problem.REMOTE)
            return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
        login = "lets us in without a login"
        if credentials is not None:
            login = f"logged in as {credentials.username} (from {credentials.origin})"
        return Check(subject=subject, found="; ".join((login, *found)))

    def _check_mount(self, repository: Repository, desk: Desk) -> Check:
        """Say whether there is anything to mount from; where not, the weights are uploaded."""
        subject = f"mount from {repository}"
        try:
            registry = self._registry(repository)
            with self._asked(repository, registry, desk) as client, explained(registry, repository):
                there = replace(client, actions="pull").exists()
        except PipelineError as error:
            return Check(subject=subject, found=f"what it has will be uploaded again: {error.message}")
        return Check(subject=subject, found="there" if there else "nothing is there; is the name right?")

    @contextlib.contextmanager
    def _asked(self, repository: Repository, registry: Registry, desk: Desk) -> Iterator[RepositoryClient]:
        """Lend a client for a question of the plan, which is to be answered soon."""
        transport = Transport(registry.endpoint, registry.credentials, desk.redact.add)
        with contextlib.closing(transport):
            yield _client(repository, registry, transport, desk, IMPATIENT)

    def _registry(self, repository: Repository) -> Registry:
        only = len({each.host for each in self.repositories}) == 1
        options = self._options(repository)
        return recognise(repository.host, insecure=self.insecure, only=only, options=options)

    def _options(self, repository: Repository) -> RegistryOptions:
        return self.options.get(repository, RegistryOptions())


def _say_only(image: Image, content: ImageContent, repositories: tuple[Repository, ...], desk: Desk) -> None:
    for repository in repositories:
        desk.say(
            f"dry run: would push {repository}:{image.tag}@{image.digest} "
            f"({len(content.blobs)} blobs, at most {in_words(content.size_bytes)})"
        )


def _transport(registry: Registry, desk: Desk) -> Transport:
    transport = Transport(registry.endpoint, registry.credentials, desk.redact.add)
    desk.on_exit(transport.close)
    return transport


def _client(
    repository: Repository,
    registry: Registry,
    transport: Transport,
    desk: Desk,
    retries: Retries | None = None,
) -> RepositoryClient:
    return RepositoryClient(
        repository=repository,
        transport=transport,
        uploads=registry.uploads,
        retries=retries or Retries(),
        sessions=Sessions(desk.cache / SESSIONS),
        say=desk.say,
    )
