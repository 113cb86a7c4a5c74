"""The composition of signing, and of `pipeline verify`."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pipeline
from pipeline import compose_gitops as gitops
from pipeline.artifacts import Artifacts
from pipeline.attest_section import AttestSection, VerifySection
from pipeline.cascade import Configuration
from pipeline.compose_policies import lacking
from pipeline.compose_verify import attested, believed, file, key_path, program, public_half
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.judgement import judge
from pipeline.model import Artifact, BuiltImage, Verdict, Verification
from pipeline.reference import Digest, Reference
from policies import files_of, load_policies
from stages.attest import Attest, Judge
from stages.attestations.builder import LOCAL, Job, job_of
from stages.attestations.cosign import Cosign
from stages.attestations.predicates import Builder, PolicySet
from stages.attestations.signing import Services, Signing, Trust
from stages.registries.connections import Registries
from stages.registries.options import RegistryOptions

DEFAULT_PACK = "baseline"
_NOT_OF_THE_BUILD = ("environments.", "attest.", "verify.")


def attest(configuration: Configuration) -> Attest | None:
    """Return the stage that signs; None where nothing is to be signed."""
    section, values = configuration.values.attest, configuration.values
    if section is None:
        return None
    job = job_of(os.environ)
    return Attest(
        signing=_signing(section, configuration.root),
        trust=_trust(section, job, configuration.root),
        builder=Builder(
            id=section.builder_id or job.workflow or LOCAL,
            version=pipeline.__version__,
            invocation=job.address,
        ),
        policies=policy_set(configuration),
        judge=judge_by(gitops.policies(configuration)),
        registries=Registries(
            repositories=(*values.repositories, *values.model_repositories),
            insecure=values.insecure_registries,
            options=gitops.options(configuration),
        ),
        cosign=Cosign(program=program(section.cosign, configuration.root), timeout_s=section.timeout_s),
        job=job,
        parameters=_parameters(configuration),
    )


def verify(
    text: str,
    desk: Desk,
    configuration: Configuration | None,
    *,
    section: VerifySection | None = None,
    policies: str | None = None,
) -> Verification:
    """Return whether an image is signed, and what the policies say of what was attested of it.

    What the command line says counts; what it leaves out is the configuration's, if there is one.

    Raises:
        ConfigurationError: the reference, the key or a policy is wrong.
        NotVerified: it is not signed by that signer, or something is missing or was changed.
        PipelineError: nobody could tell: a tool, the registry or a service is not there.
    """
    reference, here = _reference(text), Path.cwd()
    if section is not None or configuration is None:
        believe, root = believed(None, section), here
    else:
        values = configuration.values
        believe, root = believed(values.attest, values.verify), configuration.root
    rules = _rules(configuration, policies, here)
    judges = judge_by(rules)
    found = attested(reference, _registries(reference, configuration), believe, root, desk)
    have = Artifacts(*found.evidence)
    return Verification(
        image=found.image,
        evidence=tuple(type(each).__name__ for each in found.evidence),
        verdicts=tuple(verdict for made in have for verdict in judges(made, have)),
        # the weights' own image has a provenance alone: all else is attested of the image that they serve
        missing=lacking(found.evidence, rules) if BuiltImage in have else (),
    )


def judge_by(policies: tuple[Policy, ...]) -> Judge:
    """Return what judges an artifact among others, as of now."""

    def say(made: Artifact, have: Artifacts) -> tuple[Verdict, ...]:
        return judge(made, policies, have=have, now=datetime.now(UTC))

    return say


def _signing(section: AttestSection, root: Path) -> Signing:
    return Signing(
        key=key_path(section.key, root),
        shown_key=section.key,
        trusted_root=file(section.trusted_root, root),
        services=Services(
            transparency_log=section.transparency_log,
            rekor=section.rekor,
            fulcio=section.fulcio,
            timestamp_authority=section.timestamp_authority,
            issuer=section.issuer,
        ),
    )


def _trust(section: AttestSection, job: Job, root: Path) -> Trust:
    if section.key is None:
        return Trust(
            identity=section.identity or job.workflow,
            issuer=section.issuer or job.issuer,
            trusted_root=file(section.trusted_root, root),
        )
    return Trust(
        key=key_path(public_half(section.key), root),
        shown_key=section.key,
        transparency_log=section.transparency_log,
        trusted_root=file(section.trusted_root, root),
    )


def policy_set(configuration: Configuration) -> PolicySet:
    """Return the name of the policies, and the digest of all that they say.

    Of one file it is that of the file; of several (what it extends, VEX documents, what stands in
    pipeline.yaml) that of their digests, one a line.
    """
    choice = configuration.values.policies
    digests = [Digest.of(path.read_bytes()) for path in files_of(choice, configuration.root)]
    if not isinstance(choice, str):
        digests.insert(0, Digest.of(json.dumps(choice, default=str).encode()))
    digest = digests[0] if len(digests) == 1 else Digest.of("\n".join(digests).encode())
    if not isinstance(choice, str):
        return PolicySet(uri=f"{configuration.path.name}#policies", digest=digest)
    own = "/" in choice or choice.endswith((".yaml", ".yml"))
    return PolicySet(uri=choice if own else f"pack:{choice}", digest=digest)


def _parameters(configuration: Configuration) -> dict[str, object]:
    """Return what the configuration says of the build, defaults and secrets left out."""
    return {
        setting.key: setting.value
        for setting in configuration.settings()
        if setting.origin != "default" and not setting.key.startswith(_NOT_OF_THE_BUILD)
    }


def _rules(configuration: Configuration | None, choice: str | None, here: Path) -> tuple[Policy, ...]:
    if choice is None and configuration is not None:
        return gitops.policies(configuration)
    return load_policies(choice or DEFAULT_PACK, here)


def _reference(text: str) -> Reference:
    try:
        return Reference.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} names no image: {error}",
            advice="Write registry.example.com/team/model@sha256:…, or :TAG.",
        ) from error


def _registries(reference: Reference, configuration: Configuration | None) -> Registries:
    """Return how to reach the image: as the configuration says it of its registry, if it does."""
    wanted = reference.repository
    if configuration is None:
        return Registries(repositories=(wanted,))
    values, said = configuration.values, gitops.options(configuration)
    near = next((each for name, each in said.items() if name.host == wanted.host), RegistryOptions())
    return Registries(
        repositories=tuple(dict.fromkeys((wanted, *values.repositories))),
        insecure=values.insecure_registries,
        options={wanted: RegistryOptions(kind=near.kind, login=near.login), **said},
    )
