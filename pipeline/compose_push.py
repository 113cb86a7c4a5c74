"""The push of the configuration, and what each of its registries is."""

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.compose_model import model_of
from pipeline.desk import Desk
from pipeline.init_forms import Registry
from pipeline.model import Check
from pipeline.record import Runs
from pipeline.registry_section import RegistrySection
from stages.oci.authentication import environment_name
from stages.push import Push
from stages.registries import kind_of


def push(configuration: Configuration) -> Push:
    """Return the stage that pushes the image."""
    values, model = configuration.values, model_of(configuration)
    return Push(
        layout_folder=Runs(configuration.root).folder / "image",
        files=model.files if model is not None else None,
        weights=model,
        repositories=values.repositories,
        model_repositories=values.model_repositories,
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
        mount_from=gitops.mounts(configuration),
    )


def registries(configuration: Configuration) -> tuple[Registry, ...]:
    """Return what each registry is, each host once."""
    found: dict[str, Registry] = {}
    for entry, repository in zip(
        configuration.values.registries, configuration.values.repositories, strict=True
    ):
        section = entry if isinstance(entry, RegistrySection) else None
        found.setdefault(
            repository.host,
            Registry(
                host=repository.host,
                kind=kind_of(repository.host, section.kind if section is not None else None),
                suffix=environment_name(repository.host),
                provider=section.login.provider if section is not None else None,
                token_variable=section.login.id_token_variable if section is not None else None,
            ),
        )
    return tuple(found.values())


def diagnose(configuration: Configuration, desk: Desk, *, write: bool) -> tuple[Check, ...]:
    """Return what each registry would say to a push; with `write`, by a little upload that is cancelled."""
    return push(configuration).diagnose(desk, write=write)
