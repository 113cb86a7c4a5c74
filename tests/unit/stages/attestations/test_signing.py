"""What cosign is told, and who a CI job is; nothing is signed here."""

import base64
import hashlib
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, RemoteError, StageFailed
from pipeline.process import Command, Outcome
from stages.attestations.builder import job_of
from stages.attestations.by_hand import verify_command
from stages.attestations.cosign_refusals import refusal, signing_error
from stages.attestations.signing import Services, Signing, Trust, fingerprint, key_hint

PUBLIC = Path("key.pub")
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "team/model",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW_REF": "team/model/.github/workflows/deliver.yml@refs/heads/main",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.example.com/team/model",
    "CI_COMMIT_REF_NAME": "v1",
    "CI_COMMIT_TAG": "v1",
    "CI_JOB_URL": "https://gitlab.example.com/team/model/-/jobs/7",
    "CI_SERVER_URL": "https://gitlab.example.com",
}


def test_a_key_is_named_by_the_hash_of_what_is_in_it() -> None:
    content = b"subject public key info"
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(content).decode()}\n-----END PUBLIC KEY-----\n"
    hashed = hashlib.sha256(content)
    assert fingerprint(pem) == f"SHA256:{hashed.hexdigest()}"
    assert key_hint(pem) == base64.b64encode(hashed.digest()).decode()
    assert fingerprint("no key") == fingerprint("-----BEGIN PUBLIC KEY-----\n%\n") == ""


def test_keys_and_identities_reach_cosign_as_its_own_flags() -> None:
    key = Trust(key="awskms:///alias/model", transparency_log=False)
    assert key.arguments(PUBLIC) == ("--key", str(PUBLIC), "--insecure-ignore-tlog=true")
    keyless = Trust(identity_regexp="^https://ci/", issuer="https://issuer", trusted_root=Path("/root.json"))
    assert keyless.arguments(PUBLIC) == (
        *("--certificate-identity-regexp", "^https://ci/", "--certificate-oidc-issuer", "https://issuer"),
        *("--trusted-root", "/root.json"),
    )
    assert "--certificate-identity" in Trust(identity="me", issuer="https://issuer").arguments(PUBLIC)


def test_own_services_are_named_one_by_one_and_public_ones_not_at_all() -> None:
    assert Services().are_public
    assert not Services(transparency_log=False).are_public
    assert Services(transparency_log=False).arguments() == ()
    own = Services(
        rekor="https://rekor.example.com", fulcio="https://fulcio.example.com", issuer="https://id"
    )
    assert [argument.split(",")[0] for argument in own.arguments()] == [
        "--rekor=url=https://rekor.example.com",
        "--fulcio=url=https://fulcio.example.com",
        "--oidc-provider=url=https://id",
        "--rekor-config=ANY",
    ]
    assert "operator=rekor.example.com" in own.arguments()[0]


def test_a_job_is_who_its_host_says_it_is() -> None:
    github, gitlab, nobody = job_of(GITHUB), job_of(GITLAB), job_of({})
    assert github.workflow == "https://github.com/team/model/.github/workflows/deliver.yml@refs/heads/main"
    assert github.address == "https://github.com/team/model/actions/runs/7/attempts/2"
    assert (github.issuer, github.has_token) == ("https://token.actions.githubusercontent.com", True)
    assert not job_of({**GITHUB, "ACTIONS_ID_TOKEN_REQUEST_URL": ""}).has_token
    assert gitlab.workflow == "https://gitlab.example.com/team/model//.gitlab-ci.yml@refs/tags/v1"
    assert (gitlab.issuer, gitlab.has_token) == ("https://gitlab.example.com", False)
    assert job_of({**GITLAB, "SIGSTORE_ID_TOKEN": "t"}).has_token
    assert (nobody.workflow, nobody.address, nobody.has_token) == ("", "", False)


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        (Trust(key="/x/cosign.key", shown_key="cosign.key"), "--key cosign.pub"),
        (Trust(key="awskms:///alias/model"), "--key awskms:///alias/model"),
        (Trust(key="env://KEY", transparency_log=False), "--key cosign.pub --insecure-ignore-tlog=true"),
        (
            Trust(identity="https://ci/w@main", issuer="https://id"),
            "--certificate-identity https://ci/w@main --certificate-oidc-issuer https://id",
        ),
    ],
)
def test_the_command_for_people_can_be_copied(trust: Trust, expected: str) -> None:
    assert verify_command(trust, "a.io/m@sha256:1") == f"cosign verify {expected} a.io/m@sha256:1"
    insecure = verify_command(trust, "a.io/m@sha256:1", plain_http=True)
    assert insecure.endswith(" --allow-http-registry a.io/m@sha256:1")


def outcome(error: str, *, timed_out: bool = False) -> Outcome:
    return Outcome(
        command=Command(arguments=("cosign",)),
        exit_code=1,
        stdout="",
        stderr=f"WARNING: x\nError: {error}\nerror during command execution: {error}\n",
        duration_s=1.0,
        timed_out=timed_out,
    )


@pytest.mark.parametrize(
    ("key", "said", "kind"),
    [
        ("cosign.key", "reading key: decrypt: encrypted: decryption failed", ConfigurationError),
        ("cosign.key", 'Post "https://rekor": dial tcp: no such host', RemoteError),
        ("cosign.key", "error getting signing config from TUF: tuf refresh failed", RemoteError),
        ("cosign.key", "something else", StageFailed),
        (None, "getting keypair and token: retrieving ID token: no provider", ConfigurationError),
    ],
)
def test_what_keeps_cosign_from_signing_is_told_by_its_kind(
    key: str | None, said: str, kind: type[Exception]
) -> None:
    assert type(signing_error(Signing(key=key), outcome(said))) is kind


def test_what_a_bundle_lacks_is_told_in_words_and_an_unanswered_question_is_no_answer() -> None:
    trust = Trust(key="cosign.pub")
    assert "another digest" in refusal(outcome("provided artifact digest does not match any digest"), trust)
    assert "it was changed" in refusal(outcome("could not verify envelope: threshold"), trust)
    assert "another identity" in refusal(outcome("failed to verify certificate identity: x"), trust)
    assert "transparency log" in refusal(outcome("not enough verified log entries: 0 < 1"), trust)
    with pytest.raises(RemoteError):
        refusal(outcome("tuf refresh failed"), trust)
    with pytest.raises(RemoteError):
        refusal(outcome("anything", timed_out=True), trust)
