"""Which lines the tests ran, from the Cobertura file that coverage tools write (`coverage xml`)."""

from pathlib import Path
from xml.etree import ElementTree

from pipeline.errors import StageFailed

_ADVICE = "`pytest --cov --cov-report=xml` writes one; mend `test.coverage`, or leave it out."


def line_coverage(path: Path, *, written: bool) -> float:
    """Return the share of the lines that ran, from 0 to 1.

    Raises:
        StageFailed: the tests have not written the file, or it is no Cobertura file.
    """
    if not written:
        raise StageFailed(f"the tests passed, but wrote no coverage file {path}", advice=_ADVICE)
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - the user's own tests wrote it
        share = float(root.attrib["line-rate"])
        if root.tag != "coverage" or not 0 <= share <= 1:
            raise ValueError("no `coverage` with a `line-rate` between 0 and 1")
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise StageFailed(f"{path} is no Cobertura file that can be read: {error}", advice=_ADVICE) from error
    return share
