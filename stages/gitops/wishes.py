"""Which image each target gets: the application's, or the weights' own where it names that one."""

from dataclasses import dataclass

from pipeline.model import Pushed
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.manifests.interface import NewImage, Target

Wish = tuple[Target, NewImage]
"""A target, and the image that it shall name."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that a target may get, and where it can be pulled from.

    Where nothing is pushed no repository is known, and the name in the manifest stays in the preview.
    """

    name: str
    repositories: tuple[Repository, ...]
    tag: Tag
    digest: Digest

    @classmethod
    def of(cls, pushed: Pushed, repositories: tuple[Repository, ...] | None = None) -> "Offer":
        """Return what was pushed, from where it was pushed to or from the repositories that are given."""
        there = tuple(reference.repository for reference in pushed.references)
        return cls(pushed.name, there if repositories is None else repositories, pushed.tag, pushed.digest)

    @property
    def own(self) -> Repository:
        """Its name without any registry, as manifests have it that are rendered later."""
        return Reference.parse(self.name).repository

    def at(self, repository: Repository) -> NewImage:
        """Return the image in one of its repositories."""
        return NewImage(repository=repository, tag=self.tag, digest=self.digest)


def wish(target: Target, offers: tuple[Offer, ...]) -> Wish:
    """Return a target with the image that it gets: from the repository that it names, else from the first."""
    named = _named_by(target)
    chosen = next((one for one in offers[1:] if named in {*one.repositories, one.own}), offers[0])
    known = chosen.repositories
    if named is not None and (named in known or not known):
        return target, chosen.at(named)
    return target, chosen.at(known[0] if known else chosen.own)


def _named_by(target: Target) -> Repository | None:
    try:
        return Reference.parse(target.image or "").repository
    except ValueError:  # the edit refuses it, with the manifest's name
        return None
