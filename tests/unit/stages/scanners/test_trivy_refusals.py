"""What kind of error Trivy's last words mean."""

import pytest

from pipeline.errors import PipelineError, RemoteError, StageFailed, TemporaryRemoteError
from stages.scanners.trivy_refusals import refusal


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("unexpected status code 404 Not Found", RemoteError),
        ("GET http://localhost:5000/v2/: unexpected status: 401", RemoteError),
        ("unexpected status code 503", TemporaryRemoteError),
        ("failed to download /tmp/trivy-7/oci-download-4143404189/db.tar.gz: unexpected EOF", StageFailed),
        ("failed to download /tmp/trivy-404/oci-download-401/db.tar.gz: unexpected EOF", StageFailed),
        (f"blob sha256:{'404' * 21}: gzip: invalid header", StageFailed),
    ],
)
def test_digits_in_a_files_name_are_no_status(said: str, kind: type[PipelineError]) -> None:
    error = refusal("localhost:5000/trivy-db:2", f"FATAL\tx\t{said}", timed_out=False)
    assert type(error) is kind
    assert said[-20:] in error.message
