"""The build cache in a repository of its own: each write moves a tag, which an image's repository may refuse.

Source: BuildKit, "Registry cache"; `image-manifest` and `oci-mediatypes` are what Amazon ECR accepts.
"""

from dataclasses import dataclass, replace

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import Check
from pipeline.reference import Repository, Tag
from stages.buildkit.builder import Builder
from stages.buildkit.external_cache import (
    NO_BRANCH,
    NO_EXPORT,
    STAYS_HERE,
    SUBJECT,
    CacheUse,
    Mode,
    in_words,
)
from stages.oci.distribution import RepositoryClient
from stages.registries.connections import Registries
from stages.registries.interface import Registry, RepositoryState
from stages.registries.readiness import explained


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCache:
    """A repository that holds nothing but caches."""

    repository: Repository
    registries: Registries
    tag: Tag | None
    """What is written; None: the commit is on no branch."""
    read: tuple[Tag, ...]
    """What is looked for, the nearest first."""
    mode: Mode = "max"

    def check(self, builder: Builder, desk: Desk) -> Check:
        """See `ExternalCache.check`."""
        return Check(subject=SUBJECT, found=in_words(self._use(builder, desk, make=False)))

    def use(self, builder: Builder, desk: Desk) -> CacheUse:
        """See `ExternalCache.use`."""
        return self._use(builder, desk, make=True)

    def _use(self, builder: Builder, desk: Desk, *, make: bool) -> CacheUse:
        try:
            registry = self.registries.of(self.repository)
            with (
                self.registries.asked(self.repository, registry, desk) as client,
                explained(registry, self.repository),
            ):
                login = registry.credentials()
                reader = replace(client, actions="pull")
                found = [tag for tag in self.read if reader.find_manifest(tag) is not None]
                refusal = self._refusal(registry, client, builder, desk, make=make)
        except PipelineError as error:
            return CacheUse(read={}, written={}, notes=(f"not used: {_flat(error.message)}",))
        insecure = {"registry.insecure": "true"} if self.repository.host in self.registries.insecure else {}
        if login is not None:
            desk.redact.add(login.secret)
        return CacheUse(
            read={self._name(tag): self._source(tag) | insecure for tag in found},
            written={self._name(self.tag): self._target(self.tag) | insecure}
            if self.tag is not None and refusal is None
            else {},
            notes=(f"not written: {refusal}",) if refusal is not None else (),
            login=(self.repository.host, login) if login is not None else None,
        )

    def _refusal(
        self, registry: Registry, client: RepositoryClient, builder: Builder, desk: Desk, *, make: bool
    ) -> str | None:
        """Return why the cache is not written; None where it is."""
        if desk.dry_run:
            return STAYS_HERE
        if self.tag is None:
            return NO_BRANCH
        if not builder.exports_cache:
            return NO_EXPORT
        try:
            with explained(registry, self.repository):
                client.log_in()
                refusal = self._unfit(registry.inspect(client, self.tag))
                if refusal is None and make:
                    registry.prepare(self.repository, desk)
        except PipelineError as error:
            return _flat(error.message)
        return refusal

    def _unfit(self, state: RepositoryState) -> str | None:
        if state.exists is False and not state.created_on_push:
            return f"{self.repository} does not exist. {_flat(state.advice)}"
        if state.immutable_tags:
            return (
                f"{self.repository} has immutable tags, and the cache's tag moves with every build; let "
                "`build.cache` name a repository whose tags can be moved"
            )
        return None

    def _name(self, tag: Tag) -> str:
        return f"{self.repository}:{tag}"

    def _source(self, tag: Tag) -> dict[str, str]:
        return {"type": "registry", "ref": self._name(tag)}

    def _target(self, tag: Tag) -> dict[str, str]:
        return {
            **self._source(tag),
            "mode": self.mode,
            "image-manifest": "true",
            "oci-mediatypes": "true",
            "ignore-error": "true",
        }


def _flat(message: str) -> str:
    return " ".join(message.split())
