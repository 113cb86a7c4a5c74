"""What pipeline.yaml says of one environment, such as dev or prod: only what differs there."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from pipeline.attest_section import VerifySection
from pipeline.registry_section import RegistryEntry
from pipeline.section import Section, Words, words
from pipeline.update_section import UpdateSection


class EnvironmentSection(Section):
    """An environment: its keys are laid over those of the file, those of `update:` one by one."""

    registries: Annotated[tuple[RegistryEntry, ...], BeforeValidator(words)] | None = None
    """Registries that its clusters pull from; default: those of the file."""
    insecure_registries: Words | None = None
    """Hosts that are spoken to without TLS; default: those of the file."""
    policies: str | dict[str, Any] | tuple[Any, ...] | None = None
    """What is allowed there; default: the policies of the file."""
    verify: VerifySection | None = None
    """Whose signatures are believed there: what is promoted to it is verified, and judged by what was
    attested of it; default: those of the file."""
    update: UpdateSection = UpdateSection()
    """Its manifests; a key that is left out is the file's."""
