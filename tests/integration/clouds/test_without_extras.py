"""Without a cloud's libraries: the line that installs them, and no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.clouds import acr, artifact_registry, ecr

PROGRAM = """
import sys
sys.modules[{library!r}] = None
from pipeline.errors import ToolMissing
from stages.registries import recognise
try:
    recognise({host!r}).{question}
except ToolMissing as error:
    print(error.message); print(error.advice); print(error.exit_code)
"""


@pytest.mark.parametrize(
    ("host", "question", "library", "extra"),
    [
        (ecr.HOST, "credentials()", "boto3", "aws"),
        (artifact_registry.HOST, "credentials()", "google.auth", "google"),
        (artifact_registry.HOST, "credentials()", "google.cloud.artifactregistry_v1", "google"),
        (acr.HOST, "api.is_writable('models/x')", "azure.identity", "azure"),
        (acr.HOST, "api.is_writable('models/x')", "azure.containerregistry", "azure"),
    ],
)
def test_the_install_line_is_told(host: str, question: str, library: str, extra: str) -> None:
    program = PROGRAM.format(library=library, host=host, question=question)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    message, advice, code = done.stdout.splitlines()
    assert message.startswith(host)
    assert f"{library!r}, which is not installed" in message
    assert (advice, code) == (f"pip install 'model-image-pipeline[{extra}]'", "4")
