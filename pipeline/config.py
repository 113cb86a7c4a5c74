"""pipeline.yaml as a frozen model: every key, its default, and what it means."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from pipeline.attest_section import Attest, VerifySection
from pipeline.benchmark_section import BenchmarkSection
from pipeline.build_section import BuildSection
from pipeline.environment_section import EnvironmentSection
from pipeline.image_names import RepositoryName
from pipeline.model_section import ModelSection
from pipeline.reference import Repository, Tag
from pipeline.registry_section import RegistryEntry, RegistrySection, url_of
from pipeline.scan_section import ScanSection
from pipeline.section import Section, Words, words
from pipeline.suite_section import SuiteSection
from pipeline.tags import require_fixed, require_template
from pipeline.update_section import UpdateSection


def _repository(value: str) -> str:
    try:
        return Repository(value)
    except ValueError:
        raise ValueError(
            "expected a repository such as registry.example.com/team/model, without tag or digest"
        ) from None


Registries = Annotated[tuple[RegistryEntry, ...], BeforeValidator(words)]
Repositories = Annotated[tuple[Annotated[str, AfterValidator(_repository)], ...], BeforeValidator(words)]
Templates = Annotated[tuple[Annotated[str, AfterValidator(require_template)], ...], BeforeValidator(words)]


class PushSection(Section):
    """The push to the registries."""

    mount_from: Repositories = ()
    """Other repositories, of the same registries, that hold the weights already: mounted, not uploaded."""


class SkipSection(Section):
    """Stages to leave out, each with a reason; the policies see it."""

    test: str | None = None
    """Why there is no test."""
    scan: str | None = None
    """Why there is no scan."""
    benchmark: str | None = None
    """Why there is no benchmark."""
    update: str | None = None
    """Why no manifest is updated."""


class Config(Section):
    """What pipeline.yaml says: how one model image is delivered."""

    model_config = ConfigDict(title="Model Image Pipeline: pipeline.yaml")

    image: RepositoryName
    """Name of the image, below each of the registries."""
    registries: Registries = ()
    """Where to push: host[:port]/path, or a mapping; default: an OCI image layout folder beside the run."""
    insecure_registries: Words = ()
    """Hosts that are spoken to without TLS; this machine's own addresses need not be named."""
    tag: Tag | None = None
    """Tag of the image; default: the full commit hash, with -dirty when the work tree differs from it."""
    tags: Templates = ()
    """Tags of the image instead of `tag`, from {commit}, {short_commit}, {version} (git describe), {branch},
    {date} (the commit's) and {model_version}. The first one is what manifests get, and never moves; of the
    others, one without commit and version moves with every delivery."""
    model: ModelSection | None = None
    """The weights; without them the image is what the Dockerfile makes."""
    test: SuiteSection = SuiteSection()
    """The project's own tests."""
    build: BuildSection = BuildSection()
    """The application image."""
    scan: ScanSection = ScanSection()
    """The scan of the application layers."""
    benchmark: BenchmarkSection = BenchmarkSection()
    """The load on the model server inside the image."""
    push: PushSection = PushSection()
    """The push to the registries."""
    attest: Attest | None = None
    """Sign what was pushed, and attest how it was made, before any manifest names it: `{key: cosign.key}` or
    `keyless`; default: nothing is signed."""
    verify: VerifySection | None = None
    """Whose signatures `pipeline verify` and `pipeline promote` believe; default: those of `attest`, and a
    promotion verifies nothing."""
    update: UpdateSection = UpdateSection()
    """The GitOps repository."""
    environments: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], EnvironmentSection] = (
        Field(default={})
    )
    """Where the image is deployed to, by name (dev, prod), each with what differs from the rest of the file;
    chosen by `--environment`, and by `pipeline promote --from dev --to prod`."""
    policies: str | dict[str, Any] | tuple[Any, ...] = "baseline"
    """What is allowed: a pack (baseline, production), a YAML file, a list of rules, or a pack with changes:
    {extends: production, exceptions: […], rules: […]}."""
    depends_on: Words = ()
    """Files and folders elsewhere in the repository whose changes concern this model too (`pipeline matrix`),
    relative to pipeline.yaml; what the configuration names (source, context, policies) comes by itself."""
    skip: SkipSection = SkipSection()
    """Stages to leave out, each with a reason."""

    @field_validator("tags")
    @classmethod
    def _first_is_fixed(cls, tags: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if tags and others.data.get("tag") is not None:
            raise ValueError("say either `tag:` or `tags:`; the first of `tags` is what `tag` is")
        return tags and (require_fixed(tags[0]), *tags[1:])

    @field_validator("push")
    @classmethod
    def _same_registries(cls, push: PushSection, others: ValidationInfo) -> PushSection:
        hosts = {url_of(registry).partition("/")[0] for registry in others.data.get("registries", ())}
        for repository in push.mount_from:
            if hosts and repository.partition("/")[0] not in hosts:
                raise ValueError(
                    f"mount_from: {repository} is in none of the registries that are pushed to "
                    f"({', '.join(sorted(hosts))}), and a registry mounts only what it has itself"
                )
        return push

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The repository of the image in each registry."""
        return self._in_registries(self.image)

    @property
    def model_image(self) -> str | None:
        """The name of the weights' own image; None where they are layers of the application's."""
        if self.model is None or self.model.delivery == "layers":
            return None
        return self.model.image or f"{self.image}-model"

    @property
    def model_repositories(self) -> tuple[Repository, ...]:
        """The repository of the weights' own image in each registry, if they have one."""
        return () if self.model_image is None else self._in_registries(self.model_image)

    @property
    def registry_sections(self) -> dict[Repository, RegistrySection]:
        """The repositories of which more is said than where they are."""
        names = [name for name in (self.image, self.model_image) if name is not None]
        sections = [each for each in self.registries if isinstance(each, RegistrySection)]
        return {_in_registry(each, name): each for each in sections for name in names}

    def _in_registries(self, name: str) -> tuple[Repository, ...]:
        return tuple(_in_registry(registry, name) for registry in self.registries)

    @property
    def skipped(self) -> dict[str, str]:
        """The stages to leave out and the reasons."""
        return {name: reason for name, reason in self.skip if reason is not None}


def _in_registry(entry: str | RegistrySection, name: str) -> Repository:
    return Repository(f"{url_of(entry).rstrip('/')}/{name}")


def schema() -> dict[str, Any]:
    """Return the JSON schema of pipeline.yaml (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
