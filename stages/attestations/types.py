"""The names of what is attested. Sources: in-toto/attestation (spec/predicates), slsa.dev, cosign's own."""

from pipeline.model import Attestation

STATEMENT = "https://in-toto.io/Statement/v1"
OURS = "https://github.com/model-image-pipeline/model-image-pipeline"

SIGNATURE = Attestation.SIGNATURE
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"
BENCHMARK = f"{OURS}/attestation/benchmark/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
SPDX = "https://spdx.dev/Document"
SUMMARY = "https://slsa.dev/verification_summary/v1"

BUILD = f"{OURS}/build/v1"
"""How the build is done, for readers of the provenance."""

WORDS = {
    SIGNATURE: "signature",
    PROVENANCE: "provenance",
    TEST_RESULT: "test result",
    VULNERABILITIES: "vulnerabilities",
    BENCHMARK: "benchmark",
    CYCLONEDX: "SBOM (CycloneDX)",
    SPDX: "SBOM (SPDX)",
    SUMMARY: "verification summary",
}


def in_words(predicate_type: str) -> str:
    """Return what people call a predicate type; its URI where it is none of ours."""
    return WORDS.get(predicate_type, predicate_type)
