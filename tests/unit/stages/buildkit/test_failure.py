from pathlib import Path

import pytest

from pipeline.errors import DiskFull, StageFailed
from stages.buildkit.failure import explain

FILE = Path("/project/Dockerfile")
FAILED_RUN = """\
#6 [2/3] RUN make-model
#6 0.171 make-model: not found
#6 ERROR: process "/bin/sh -c make-model" did not complete successfully: exit code: 127
------
 > [2/3] RUN make-model:
0.171 make-model: not found
------
Dockerfile:3
--------------------
   2 |     ARG X=1
   3 | >>> RUN make-model
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c make-model" did not complete successfully: \
exit code: 127
"""


def test_a_failed_command_is_named_with_its_line() -> None:
    error = explain(FAILED_RUN.splitlines(), FILE)
    assert isinstance(error, StageFailed)
    assert error.message.startswith('/project/Dockerfile:3: process "/bin/sh -c make-model" did not complete')
    assert error.tail.splitlines()[0] == "------"
    assert "make-model: not found" in error.tail
    assert "by hand" in error.advice


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("nope:1: failed to resolve source metadata for docker.io/library/nope:1: no such host", "FROM"),
        ("failed to compute cache key: failed to calculate checksum of ref x: not found", "model.path"),
        ("dockerfile parse error on line 2: unknown instruction: RUNN", "Mend the Dockerfile"),
        ('target stage "prod" could not be found', "build.target"),
        ("something new", "whole output"),
    ],
)
def test_the_advice_fits_the_reason(reason: str, advice: str) -> None:
    error = explain([f"ERROR: failed to build: failed to solve: {reason}"], FILE)
    assert error.message == f"/project/Dockerfile: {reason}"
    assert advice in error.advice


def test_a_full_disk_is_an_error_of_its_own() -> None:
    text = "ERROR: failed to solve: write /var/lib/docker/tmp/x: no space left on device"
    assert isinstance(explain([text], FILE), DiskFull)


def test_silence_is_a_failure_too() -> None:
    assert explain([], FILE).message == "/project/Dockerfile: the build failed"
