import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.desk import Desk
from pipeline.model import Problem
from stages.models import recognise
from tests.support.loopback import Received, Reply, json_reply, serving

LISTING = b"""<ListBucketResult><Contents><Key>digits/model.bin</Key><Size>5</Size><ETag>"abc"</ETag>
<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def service_account(url: str, _: Path) -> dict[str, object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "client_email": "pipeline@example.com",
        "token_uri": f"{url}/token",
        "private_key": key.private_bytes(*form).decode(),
        "project_id": "example",
    }


def workload_identity(url: str, folder: Path) -> dict[str, object]:
    (folder / "identity-token").write_text("what the CI says of itself")
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/token",
        "credential_source": {"file": str(folder / "identity-token")},
    }


def asked_scope(form: bytes) -> str:
    """Return the scope that a request for a token asks for."""
    fields = dict(parse_qsl(form.decode()))
    if "assertion" not in fields:
        return fields["scope"]
    payload = fields["assertion"].split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["scope"])


def google(allowed: bool) -> Callable[[Received], Reply | None]:
    """Give tokens as Google does, for a scope only, and let in or not who has one."""

    def answer(request: Received) -> Reply | None:
        if request.path != "/token":
            return Reply(200, body=LISTING) if allowed else Reply(403, body=b"<Code>AccessDenied</Code>")
        if not asked_scope(request.body).endswith("/devstorage.read_only"):
            return json_reply(400, {"error": "invalid_scope", "error_description": "Empty or missing scope"})
        token = {"access_token": "secret-token", "expires_in": 3600, "token_type": "Bearer"}
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return json_reply(200, token | {"issued_token_type": kind})

    return answer


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("account", [service_account, workload_identity])
def test_an_account_logs_in_with_the_right_to_read(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    account: Callable[[str, Path], dict[str, object]],
    allowed: bool,
) -> None:
    with serving(google(allowed)) as server:
        (desk.folder / "account.json").write_text(json.dumps(account(server.url, desk.folder)))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(desk.folder / "account.json"))
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "example")
        monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
        (check,) = recognise("gs://models/digits", Path()).check(desk)
        last = {name.lower(): value for name, value in server.received[-1].headers.items()}
    assert last["authorization"] == "Bearer secret-token"
    assert "secret-token" not in check.found + check.advice
    assert check.problem is (None if allowed else Problem.REMOTE)
    assert ("1 file" if allowed else "refuses these credentials (403 AccessDenied)") in check.found


def test_a_token_that_is_not_given_is_said_with_the_reason(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = json_reply(400, {"error": "invalid_grant", "error_description": "Account was deleted"})
    with serving(lambda _: refusal) as server:
        (desk.folder / "account.json").write_text(json.dumps(service_account(server.url, desk.folder)))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(desk.folder / "account.json"))
        (check,) = recognise("gs://models/digits", Path()).check(desk)
    assert check.problem is Problem.REMOTE
    assert "Account was deleted" in check.found
    assert "gcloud auth application-default login" in check.advice


def test_no_login_says_how_to_log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    (check,) = recognise("gs://models/digits", Path()).check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert "gcloud auth application-default login" in check.advice
