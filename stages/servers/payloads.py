"""What is sent, and what is expected to come back, from the user's files."""

from pathlib import Path

from pipeline.model import Check, Problem
from stages.servers.checks import missing
from stages.servers.interface import Payload

GOLDEN = ".expected"


def read_payloads(request: Path | None, expect: Path | None) -> tuple[Payload, ...]:
    """Return the request with the answer that is expected; nothing where the protocol makes the request.

    Raises:
        OSError: a file cannot be read.
    """
    if request is None:
        return ()
    golden = expect or golden_beside(request)
    expected = golden.read_bytes() if golden is not None else None
    return (Payload(body=request.read_bytes(), name=request.name, expected=expected),)


def check_expected(expect: Path | None) -> tuple[Check, ...]:
    """Return a failing check where the file with the expected answer is not there."""
    if expect is None or expect.is_file():
        return ()
    advice = "Mend `benchmark.expect`, or leave it out and have answers under load compared with those alone."
    return (missing("expected answer", Problem.CONFIGURATION, f"{expect} is no file", advice),)


def golden_beside(request: Path) -> Path | None:
    """Return the file with the expected answer, such as request.expected.json beside request.json."""
    golden = request.with_suffix(f"{GOLDEN}{request.suffix}")
    return golden if golden.is_file() else None
