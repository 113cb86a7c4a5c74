"""Push the image to every configured registry, or deliver it as a folder where there is none."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Check,
    Destinations,
    DiskNeed,
    Image,
    ImageTag,
    Pushed,
    PushedImage,
    ScanReport,
)
from pipeline.reference import Reference, Repository, Tag
from stages.models.disk_needs import export_needs
from stages.models.interface import Files
from stages.models.model import Model
from stages.oci.export import export
from stages.oci.image_content import ImageContent
from stages.oci.parallel import for_each
from stages.oci.progress import in_words
from stages.oci.push_image import is_moving
from stages.oci.sessions import Sessions
from stages.registries.connections import SESSIONS, Registries
from stages.registries.delivery import REGISTRIES_AT_A_TIME, Delivery, deliver
from stages.registries.examination import diagnose, examine, examine_source
from stages.registries.options import RegistryOptions
from stages.registries.outcomes import failures, references, together


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
    further_tags: tuple[ImageTag, ...] = ()
    """What else shall name the image in every registry."""
    weights: Model | None = None
    """The model, to tell how much of it a folder will have to hold."""

    name: ClassVar[str] = "push"
    needs: ClassVar[tuple[type[Artifact], ...]] = (BuiltImage, ScanReport, BenchmarkReport)
    gives: ClassVar[type[PushedImage]] = PushedImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Ask every registry to let us in, with the right to push, and what is there already."""
        if not self.repositories:
            return (Check(subject="registry", found=f"none: the image goes to {self.layout_folder}"),)
        registries = self._registries
        questions = [
            *(partial(examine, each, registries, desk, tags=self._tags) for each in self.repositories),
            *(partial(examine, each, registries, desk) for each in self.model_repositories),
            *(partial(examine_source, each, registries, desk) for each in self.mount_from),
        ]
        return (*self._check_tags(), *_answers(questions))

    def diagnose(self, desk: Desk, *, write: bool) -> tuple[Check, ...]:
        """Ask every registry more than a plan does; with `write`, upload a little to each and cancel it."""
        if not self.repositories:
            return (Check(subject="registry", found="none is configured, so there is nothing to examine"),)
        registries = self._registries
        everywhere = dict.fromkeys((*self.repositories, *self.model_repositories))
        return _answers([partial(diagnose, each, registries, desk, write=write) for each in everywhere])

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what the folder takes that gets the image where there is no registry."""
        del have
        if self.repositories or self.weights is None:
            return ()
        return export_needs(self.weights, self.layout_folder, desk)

    def sends_to(self) -> Destinations | None:
        """Return the repositories that get the image."""
        everywhere = tuple(dict.fromkeys((*self.repositories, *self.model_repositories)))
        return Destinations(stage=self.name, repositories=everywhere) if everywhere else None

    def identity(self, have: Artifacts) -> str | None:
        """Return None: only the registry knows what it still holds, and asking it is cheap."""
        del have
        return None

    def run(self, have: Artifacts, desk: Desk) -> PushedImage:
        """Push to all registries side by side, or export where there is none.

        Raises:
            PipelineError: a registry refused, cannot be reached, or has another digest under the tag; the
                others have the image all the same, and `made` says which.
        """
        image = have[BuiltImage]
        # the weights first, so that nobody can pull an application whose weights are not there
        images = [*([image.model_image] if image.model_image is not None else []), image]
        contents = [ImageContent.of(each, self.files) for each in images]
        if self.repositories and not desk.dry_run:
            return self._push(images, contents, desk)
        *weights, application = (
            self._keep(each, content, desk) for each, content in zip(images, contents, strict=True)
        )
        return PushedImage(**dict(application), model_image=weights[0] if weights else None)

    def _keep(self, image: Image, content: ImageContent, desk: Desk) -> Pushed:
        """Leave an image on this machine: in a folder, or where it is in a dry run."""
        layout: Path | None = None
        if not self.repositories:
            named = Reference(image.name).repository
            layout = export(content, image.tag, self.layout_folder, desk.say, repository=named)
        else:
            own = isinstance(image, BuiltImage)
            _say_only(image, content, self.repositories if own else self.model_repositories, desk)
        return Pushed(name=image.name, tag=image.tag, digest=image.digest, layout=layout)

    def _push(self, images: list[Image], contents: list[ImageContent], desk: Desk) -> PushedImage:
        Sessions(desk.cache / SESSIONS).clean()
        *weights, application = (
            self._deliveries(image, content) for image, content in zip(images, contents, strict=True)
        )
        deliveries = [*(each for some in weights for each in some), *application]
        outcomes = deliver(deliveries, self._registries, desk)
        *own, pushed = (
            Pushed(
                name=image.name,
                tag=image.tag,
                digest=image.digest,
                references=references(outcomes[begin:end]),
                failures=failures(deliveries[begin:end], outcomes[begin:end]),
            )
            for image, begin, end in _sections(images, [*weights, application])
        )
        made = PushedImage(**dict(pushed), model_image=own[0] if own else None)
        if (error := together(deliveries, outcomes)) is not None:
            error.made = made
            raise error
        return made

    def _deliveries(self, image: Image, content: ImageContent) -> list[Delivery]:
        application = isinstance(image, BuiltImage)
        repositories = self.repositories if application else self.model_repositories
        weights = dict(zip(self.repositories, self.model_repositories, strict=False)) if application else {}
        first = ImageTag(tag=image.tag, moves=is_moving(image.tag))
        return [
            Delivery(
                repository=repository,
                content=content,
                tags=(first, *self.further_tags) if application else (first,),
                mount_from=(*self.mount_from, *repositories),
                after=weights.get(repository),
            )
            for repository in dict.fromkeys(repositories)
        ]

    def _check_tags(self) -> tuple[Check, ...]:
        if not self.further_tags or self.tag is None:
            return ()
        tags = ", ".join(str(tag) for tag in self._tags)
        return (Check(subject="tags", found=f"{tags}; manifests get {self.tag}"),)

    @property
    def _tags(self) -> tuple[ImageTag, ...]:
        """All tags of the application, as far as they are known before the build."""
        if self.tag is None:
            return ()
        return (ImageTag(tag=self.tag, moves=is_moving(self.tag)), *self.further_tags)

    @property
    def _registries(self) -> Registries:
        return Registries(repositories=self.repositories, insecure=self.insecure, options=self.options)


def _answers(questions: Sequence[Callable[[], Check]]) -> tuple[Check, ...]:
    """Return the answers of several registries, which are asked at the same time."""
    return for_each(lambda ask: ask(), questions, threads=REGISTRIES_AT_A_TIME, stopped=threading.Event())


def _sections(
    images: Sequence[Image], deliveries: Sequence[Sequence[Delivery]]
) -> Iterator[tuple[Image, int, int]]:
    """Yield where each image's deliveries begin and end among all."""
    begin = 0
    for image, own in zip(images, deliveries, strict=True):
        yield image, begin, begin + len(own)
        begin += len(own)


def _say_only(image: Image, content: ImageContent, repositories: tuple[Repository, ...], desk: Desk) -> None:
    for repository in repositories:
        desk.say(
            f"dry run: would push {repository}:{image.tag}@{image.digest} "
            f"({len(content.blobs)} blobs, at most {in_words(content.size_bytes)})"
        )
