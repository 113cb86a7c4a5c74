import json
from pathlib import Path

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


def service_account(token_uri: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {"type": "service_account", "client_email": "pipeline@example.com", "token_uri": token_uri}
    return json.dumps({**account, "private_key": key.private_bytes(*form).decode(), "project_id": "example"})


@pytest.mark.parametrize("allowed", [True, False])
def test_a_service_account_logs_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: bool
) -> None:
    def answer(request: Received) -> Reply | None:
        if request.path == "/token":
            return json_reply(
                200, {"access_token": "secret-token", "expires_in": 3600, "token_type": "Bearer"}
            )
        return Reply(200, body=LISTING) if allowed else Reply(403, body=b"<Code>AccessDenied</Code>")

    with serving(answer) as google:
        (tmp_path / "account.json").write_text(service_account(f"{google.url}/token"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("GOOGLE_BASE_URL", google.url)
        (check,) = recognise("gs://models/digits", Path()).check(desk)
        last = {name.lower(): value for name, value in google.received[-1].headers.items()}
    assert last["authorization"] == "Bearer secret-token"
    assert "secret-token" not in check.found + check.advice
    assert check.problem is (None if allowed else Problem.REMOTE)
    assert ("1 file" if allowed else "refuses these credentials (403 AccessDenied)") in check.found


def test_no_login_says_how_to_log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    (check,) = recognise("gs://models/digits", Path()).check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert "gcloud auth application-default login" in check.advice
