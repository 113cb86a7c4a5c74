"""`attest:` and `verify:`: what may be said, and what becomes of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.attest_section import VerifySection
from pipeline.cascade import read_config
from pipeline.compose_verify import believed
from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.plan import Plan
from pipeline.plugins import compose
from stages.attest import Attest

HEAD = "image: digits\nregistries: a.io/team\n"


def plan(folder: Path, text: str) -> Plan:
    (folder / "pipeline.yaml").write_text(HEAD + text)
    source = Source(root=folder, commit="a" * 40, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
    return compose(read_config(folder / "pipeline.yaml", environment={}), source)


def attest(folder: Path, text: str) -> Attest:
    (stage,) = (each for each in plan(folder, text).stages if isinstance(each, Attest))
    return stage


def test_nothing_is_signed_unless_asked_for_and_then_before_the_manifests(tmp_path: Path) -> None:
    assert "attest" not in [stage.name for stage in plan(tmp_path, "").stages]
    names = [stage.name for stage in plan(tmp_path, "attest: {key: cosign.key}\n").stages]
    assert names[-3:] == ["push", "attest", "update"]


def test_a_key_file_is_beside_pipeline_yaml_and_a_kms_is_passed_on(tmp_path: Path) -> None:
    stage = attest(tmp_path, "attest: {key: keys/cosign.key, transparency_log: false}\n")
    assert stage.signing.key == str(tmp_path / "keys/cosign.key")
    assert stage.trust.key == str(tmp_path / "keys/cosign.pub")
    assert not stage.signing.services.transparency_log
    kms = attest(tmp_path, 'attest: {key: "awskms:///alias/model"}\n')
    assert kms.signing.key == kms.trust.key == "awskms:///alias/model"


def test_one_word_signs_as_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", "team/model/.github/workflows/w.yml@refs/heads/main")
    stage = attest(tmp_path, "attest: keyless\n")
    assert stage.signing.key is None
    assert stage.trust.identity.endswith("/team/model/.github/workflows/w.yml@refs/heads/main")
    assert stage.builder.id == stage.trust.identity


def test_parameters_are_what_was_said_of_the_build_without_secrets(tmp_path: Path) -> None:
    stage = attest(
        tmp_path,
        "attest: {key: cosign.key}\nbuild: {args: {API_TOKEN: hunter22, MODE: fast}}\n"
        "environments: {dev: {}}\n",
    )
    assert stage.parameters["build.args.MODE"] == "fast"
    assert "hunter22" not in str(stage.parameters)
    assert not any(key.startswith(("attest", "environments")) for key in stage.parameters)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("attest: {}", "not both and not neither"),
        ("attest: {key: a, keyless: true}", "not both and not neither"),
        ("attest: {key: a, rekor: 'https://r'}", "needs `trusted_root`"),
        ("attest: {keyless: true, transparency_log: false}", "does not go with `keyless`"),
        (
            "attest: {keyless: true, fulcio: 'https://f', trusted_root: r.json}",
            "all of `fulcio`, `rekor` and `issuer`",
        ),
        ("verify: {identity: me}", "together with `issuer`"),
        ("verify: {key: a, issuer: 'https://i'}", "either `key`, or an identity"),
        (
            "verify: {identity: me, issuer: 'https://i', transparency_log: false}",
            "goes with `key` alone",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        plan(tmp_path, f"{text}\n")


def test_an_environment_says_whom_it_believes(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        f"{HEAD}attest: {{key: cosign.key}}\nenvironments: {{prod: {{verify: {{key: prod.pub}}}}}}\n"
    )
    prod = read_config(tmp_path / "pipeline.yaml", environment={}, deployed_to="prod").values
    here = read_config(tmp_path / "pipeline.yaml", environment={}).values
    assert believed(prod.attest, prod.verify) == VerifySection(key="prod.pub")
    assert believed(here.attest, here.verify).key == "cosign.pub"
    with pytest.raises(ConfigurationError, match="nobody says"):
        believed(None, None)
