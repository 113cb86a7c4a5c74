"""Push the image to every configured registry, or deliver it as a folder where there is none."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    Problem,
    PushedImage,
    PushedReference,
    ScanReport,
)
from pipeline.reference import Reference, Repository, Tag
from stages.models.interface import Files
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
    """Push the image and return the digest that each registry answered with.

    A tag is written once: the same digest there is success, another one is a conflict. A tag that ends in
    `-dirty` names no commit's content, so it moves. A dry run sends nothing and gives no references.
    """

    layout_folder: Path
    """Where the image goes, as an OCI image layout, when there is no repository."""
    repositories: tuple[Repository, ...] = ()
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

    name: ClassVar[str] = "push"
    needs: ClassVar[tuple[type[Artifact], ...]] = (BuiltImage, ScanReport, BenchmarkReport)
    gives: ClassVar[type[PushedImage]] = PushedImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Ask every registry to let us in, with the right to push, and what is there already."""
        if not self.repositories:
            return (Check(subject="registry", found=f"none: the image goes to {self.layout_folder}"),)
        return tuple(self._check(repository, desk) for repository in self.repositories)

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
        content = ImageContent.of(image, self.files)
        layout: Path | None = None
        references: tuple[PushedReference, ...] = ()
        if not self.repositories:
            named = Reference(image.name).repository
            layout = export(content, image.tag, self.layout_folder, desk.say, repository=named)
        elif desk.dry_run:
            self._say_only(image, content, desk)
        else:
            references = self._push(image, content, desk)
        return PushedImage(
            name=image.name, tag=image.tag, digest=image.digest, references=references, layout=layout
        )

    def _push(self, image: BuiltImage, content: ImageContent, desk: Desk) -> tuple[PushedReference, ...]:
        registries = {each: self._registry(each) for each in self.repositories}
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
                known = self._siblings(repository, pushed)
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

    def _siblings(self, repository: Repository, pushed: Sequence[PushedReference]) -> tuple[Repository, ...]:
        """Return where the blobs may be already: first where this run has pushed them."""
        known = (*(each.repository for each in pushed), *self.mount_from, *self.repositories)
        return tuple(dict.fromkeys(each for each in known if each != repository))

    def _say_only(self, image: BuiltImage, content: ImageContent, desk: Desk) -> None:
        for repository in self.repositories:
            desk.say(
                f"dry run: would push {repository}:{image.tag}@{image.digest} "
                f"({len(content.blobs)} blobs, at most {in_words(content.size_bytes)})"
            )

    def _check(self, repository: Repository, desk: Desk) -> Check:
        subject = f"registry {repository}"
        try:
            registry = self._registry(repository)
            with (
                contextlib.closing(
                    Transport(registry.endpoint, registry.credentials, desk.redact.add)
                ) as transport,
                explained(registry, repository),
            ):
                client = _client(repository, registry, transport, desk, IMPATIENT)
                credentials = client.log_in()
                found = in_words_of(registry.inspect(client, self.tag), repository, self.tag)
        except PipelineError as error:
            problem = PROBLEMS.get(type(error), Problem.REMOTE)
            return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
        login = "lets us in without a login"
        if credentials is not None:
            login = f"logged in as {credentials.username} (from {credentials.origin})"
        return Check(subject=subject, found="; ".join((login, *found)))

    def _registry(self, repository: Repository) -> Registry:
        only = len({each.host for each in self.repositories}) == 1
        options = self._options(repository)
        return recognise(repository.host, insecure=self.insecure, only=only, options=options)

    def _options(self, repository: Repository) -> RegistryOptions:
        return self.options.get(repository, RegistryOptions())


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
