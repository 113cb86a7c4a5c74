"""JUnit XML as test commands write it: counts, failures, the slowest tests."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from junitparser import Attr, Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase, TestSuite

from pipeline.errors import StageFailed
from pipeline.model import CaseCounts, CaseFailure, SlowTest

SLOWEST = 5
MESSAGE_LINES = 5
_PLACE = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+): ", re.MULTILINE)


class _Located(TestCase):
    """A test case with the attributes that some test runners add."""

    file = Attr()
    line = Attr()


@dataclass(frozen=True, slots=True)
class JUnitReport:
    """What JUnit files say of one run of the tests."""

    counts: CaseCounts
    failures: tuple[CaseFailure, ...]
    slowest: tuple[SlowTest, ...]


def read(paths: Sequence[Path]) -> JUnitReport:
    """Return what these JUnit files say together.

    Raises:
        StageFailed: one of them is not JUnit XML.
    """
    cases = [case for path in paths for case in _cases(path)]
    outcomes = [_outcome(case) for case in cases]
    counts = CaseCounts(
        total=len(cases),
        passed=outcomes.count("passed"),
        failed=outcomes.count("failed"),
        errors=outcomes.count("error"),
        skipped=outcomes.count("skipped"),
    )
    bad = [case for case, outcome in zip(cases, outcomes, strict=True) if outcome in {"failed", "error"}]
    return JUnitReport(counts, tuple(map(_failure, bad)), _slowest(cases))


def _cases(path: Path) -> Iterable[TestCase]:
    try:
        document = cast("JUnitXml | TestSuite", JUnitXml.fromfile(str(path)))
    except (SyntaxError, JUnitXmlError, OSError) as error:  # the XML libraries' errors are SyntaxErrors
        raise StageFailed(
            f"{path} is not a JUnit file: {error}",
            advice="The test command wrote it: was it stopped while writing, or does `test.junit` name"
            " another file?",
        ) from error
    suites = [document] if isinstance(document, TestSuite) else list(document)
    return [case for suite in suites for case in suite]


def _outcome(case: TestCase) -> str:
    kinds = {type(result) for result in case.result}
    for kind, name in ((Error, "error"), (Failure, "failed"), (Skipped, "skipped")):
        if kind in kinds:
            return name
    return "passed"


def _failure(case: TestCase) -> CaseFailure:
    results = [result for result in case.result if isinstance(result, Error | Failure)]
    text = "\n".join(result.text or "" for result in results)
    message = next((result.message for result in results if result.message), "") or text
    places = list(_PLACE.finditer(text))  # pytest writes no attributes; the last frame is where it failed
    located = _Located.fromelem(case)  # type: ignore[no-untyped-call]  # the library has no types here
    line = located.line or (places[-1]["line"] if places else None)
    return CaseFailure(
        name=_name(case),
        message="\n".join(message.strip().splitlines()[:MESSAGE_LINES]),
        file=located.file or (places[-1]["file"] if places else None),
        line=int(line) if line and line.isdigit() else None,
    )


def _slowest(cases: Iterable[TestCase]) -> tuple[SlowTest, ...]:
    timed = sorted(cases, key=lambda case: case.time or 0.0, reverse=True)[:SLOWEST]
    return tuple(SlowTest(name=_name(case), duration_s=case.time) for case in timed if case.time)


def _name(case: TestCase) -> str:
    return "::".join(part for part in (case.classname, case.name) if part) or "unnamed"
